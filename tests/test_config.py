"""Configuration files: inheritance, overrides, strict keys and types, saving."""

from __future__ import annotations

import copy
import pickle
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv.config import Config, format_config, load_config, save_config
from ppeffconv.config_check import dotted_keys

MINIMAL = """
Global: {epochs: 3}
Arch: {name: resnet20}
DataLoader:
  Train: {dataset: {name: Digits}, transforms: [ToArray]}
  Eval: {dataset: {name: Digits}, transforms: [ToArray]}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="run.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def minimal(write):
    return write(MINIMAL)


def test_defaults(minimal):
    cfg = load_config(minimal)
    assert isinstance(cfg, dict)
    assert cfg["Global"] == {
        "name": "run",
        "output_dir": "output",
        "device": "auto",
        "seed": 42,
        "task": "classification",
        "epochs": 3,
        "eval_interval": 1,
        "save_interval": 0,
        "log_interval": 10,
        "use_visualdl": True,
        "pretrained_model": None,
        "custom_imports": [],
    }
    assert cfg["Arch"] == {"name": "resnet20", "num_classes": 1000, "pretrained": False}
    assert cfg["Loss"] == {"label_smoothing": 0.0, "auxiliary": {}}
    assert cfg["Optimizer"]["schedule"] == {
        "name": "Cosine",
        "warmup_epochs": 0,
        "min_lr": 0.0,
        "milestones": [],
        "gamma": 0.1,
    }
    assert cfg["DataLoader"]["Train"]["batch_size"] == 64
    assert cfg["DataLoader"]["Eval"]["batch_size"] == 256
    assert "drop_last" not in cfg["DataLoader"]["Eval"]
    assert cfg["Metric"] == {"topk": [1, 5]}
    assert (cfg.path, cfg.overridden) == (minimal, set())


def test_defaults_are_not_shared_between_configurations(minimal):
    load_config(minimal)["Metric"]["topk"].append(10)
    assert load_config(minimal)["Metric"]["topk"] == [1, 5]


def test_free_blocks_take_any_key(write):
    cfg = load_config(
        write(MINIMAL.replace("name: resnet20", "name: x, alpha: 0.5, deep: {a: [1, {b: 2}]}, none: null"))
    )
    assert cfg["Arch"]["deep"] == {"a": [1, {"b": 2}]}
    assert cfg["Arch"]["none"] is None


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", ".0001", "0.0001"])
def test_every_way_to_write_a_small_number(minimal, text):
    cfg = load_config(minimal, [f"Optimizer.lr={text}", f"Arch.ratio={text}"])
    assert cfg["Optimizer"]["lr"] == cfg["Arch"]["ratio"] == 1e-4


def test_whole_numbers_become_floats_where_floats_are_due(minimal):
    lr = load_config(minimal, ["Optimizer.lr=1"])["Optimizer"]["lr"]
    assert lr == 1.0
    assert type(lr) is float


def test_the_home_folder(minimal, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = ["Global.output_dir=~/runs", "Global.pretrained_model=~/a", "Arch.pretrained=~/b"]
    text += ["DataLoader.Train.dataset.root=~/c", "DataLoader.Train.dataset.list_file=~/d"]
    cfg = load_config("~/run.yaml", text)
    data = cfg["DataLoader"]["Train"]["dataset"]
    assert cfg["Global"]["output_dir"] == f"{tmp_path}/runs"
    assert cfg["Global"]["pretrained_model"] == f"{tmp_path}/a"
    assert cfg["Arch"]["pretrained"] == f"{tmp_path}/b"
    assert (data["root"], data["list_file"]) == (f"{tmp_path}/c", f"{tmp_path}/d")


def test_custom_imports(minimal, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_layers_of_a_user.py").write_text("import sys\nsys.modules['trace'] = 'imported'\n")
    before = list(sys.path)
    monkeypatch.setitem(sys.modules, "trace", None)
    load_config(minimal, ["Global.custom_imports=[own_layers_of_a_user]"])
    assert sys.modules["trace"] == "imported"
    assert sys.path == before
    with pytest.raises(ValueError, match=r"Global\.custom_imports: cannot import nowhere_to_be_found"):
        load_config(minimal, ["Global.custom_imports=[nowhere_to_be_found]"])
    (tmp_path / "needs_another.py").write_text("import not_installed_here")
    with pytest.raises(ValueError, match="cannot import needs_another: .*not_installed_here is looked for in"):
        load_config(minimal, ["Global.custom_imports=[needs_another]"])
    (tmp_path / "half_written.py").write_text("def f(:")
    with pytest.raises(ValueError, match=r"cannot import half_written: .*\(half_written.py, line 1\)$"):
        load_config(minimal, ["Global.custom_imports=[half_written]"])


# inheritance


def test_bases_are_merged_in_order_and_the_file_wins(write):
    write("Global: {epochs: 1, seed: 1, output_dir: first}\nMetric: {topk: [1, 2, 3]}", "parts/a.yaml")
    write("Global: {seed: 2, output_dir: second}", "parts/b.yaml")
    cfg = load_config(write("_base_: [parts/a.yaml, parts/b.yaml]\nMetric: {topk: [7]}" + MINIMAL, "leaf.yml"))
    assert (cfg["Global"]["epochs"], cfg["Global"]["seed"], cfg["Global"]["output_dir"]) == (3, 2, "second")
    assert cfg["Metric"]["topk"] == [7]
    assert cfg["Global"]["name"] == "leaf"
    assert "_base_" not in cfg


def test_bases_are_relative_to_the_file_that_names_them(write):
    write(MINIMAL, "shared/deep/all.yaml")
    write("_base_: deep/all.yaml", "shared/middle.yaml")
    assert load_config(write("_base_: ../shared/middle.yaml", "runs/leaf.yaml"))["Global"]["epochs"] == 3


def test_a_base_may_be_shared_by_two_others(write):
    write(MINIMAL, "root.yaml")
    write("_base_: root.yaml\nGlobal: {seed: 1}", "a.yaml")
    write("_base_: root.yaml\nArch: {num_classes: 5}", "b.yaml")
    cfg = load_config(write("_base_: [a.yaml, b.yaml]"))
    assert (cfg["Global"]["seed"], cfg["Arch"]["num_classes"]) == (1, 5)


def test_base_cycle(write):
    write("_base_: c.yaml", "b.yaml")
    write("_base_: run.yaml", "c.yaml")
    with pytest.raises(ValueError, match=r"leads back to itself: run\.yaml -> b\.yaml -> c\.yaml -> run\.yaml"):
        load_config(write("_base_: b.yaml"))


def test_missing_files(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no configuration file .*absent\.yaml$"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(
        FileNotFoundError, match=r"no configuration file .*gone\.yaml \(.*run\.yaml names it in _base_\)"
    ):
        load_config(write("_base_: gone.yaml"))
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        load_config(tmp_path)


def test_an_error_in_a_base_names_the_base(write):
    write("Optimizer: {lrr: 1}", "base.yaml")
    with pytest.raises(ValueError, match=r"base\.yaml: unknown key 'Optimizer\.lrr'"):
        load_config(write("_base_: base.yaml" + MINIMAL))


# malformed files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Global: {epochs: 1}\nGlobal: {seed: 1}", r"run\.yaml, line 2, column 1: .*duplicate key 'Global'"),
        ("Arch: {name: a, name: b}", r"line 1, column 17: .*duplicate key 'name'"),
        ("Arch:\n  name: [a", r"run\.yaml, line 2"),
        ("Arch:\n\tname: a", r"run\.yaml, line 2"),
        ("Arch: {name: a\x01}", r"run\.yaml: not valid YAML"),
        ("Arch: {born: !!timestamp 2020-99-99}", r"run\.yaml: not valid YAML"),
        ("Arch: &a {x: *a}", r"run\.yaml: not valid YAML: .*alias stands for itself"),
        ("Arch: {x: " + 3000 * "[", r"run\.yaml: not valid YAML"),
        ("Arch: {name: {{ name }}}", r"run\.yaml, line 1"),
        ("- a\n- b", r"run\.yaml: the file must be a mapping of keys to values"),
        ("Global: 3", r"run\.yaml: Global must be a mapping of keys to values, got 3 \(int\)"),
        ("EMA:", r"run\.yaml: EMA must be a mapping of keys to values, got nothing"),
        ("Global: {3: 4}", r"run\.yaml: unknown key 'Global\.3'"),
        ("_base_: {a: b}", r"run\.yaml: _base_ must be a file name or a list of them"),
        ("", r"run\.yaml: Global\.epochs is missing"),
        ("Global: {epochs: 1}", r"run\.yaml: Arch\.name is missing"),
    ],
)
def test_malformed(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_config(write(text))


def test_not_text(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"Arch: \xff\xfe")
    with pytest.raises(ValueError, match=r"run\.yaml: not a text file in UTF-8"):
        load_config(path)


def test_merge_keys_of_yaml_still_work(write):
    cfg = load_config(write(MINIMAL.replace("Arch: {name: resnet20}", "Arch: {<<: {name: a, x: 1}, x: 2}")))
    assert (cfg["Arch"]["name"], cfg["Arch"]["x"]) == ("a", 2)


# overrides


def test_overrides(minimal):
    cfg = load_config(
        minimal,
        ["Global.epochs=7", "Optimizer.schedule.name=Step", "Metric.topk=[1, 3]", "Arch.ratio=.25", "EMA.decay=null"],
    )
    assert cfg["Global"]["epochs"] == 7
    assert cfg["Optimizer"]["schedule"]["name"] == "Step"
    assert cfg["Metric"]["topk"] == [1, 3]
    assert cfg["Arch"]["ratio"] == 0.25
    assert cfg.overridden == {"Global.epochs", "Optimizer.schedule.name", "Metric.topk", "Arch.ratio", "EMA.decay"}


def test_repeated_overrides_are_all_kept_and_the_last_wins(minimal):
    cfg = load_config(minimal, ["Global.seed=1", "Global.epochs=9", "Global.seed=2"])
    assert (cfg["Global"]["seed"], cfg["Global"]["epochs"]) == (2, 9)


def test_an_override_may_be_a_mapping(minimal):
    cfg = load_config(minimal, ["Loss.auxiliary={sparse: 1e-2}", "Optimizer={lr: 0.5, schedule: {gamma: 0.2}}"])
    assert cfg["Loss"]["auxiliary"] == {"sparse": 0.01}
    assert (cfg["Optimizer"]["lr"], cfg["Optimizer"]["momentum"]) == (0.5, 0.9)
    assert cfg.overridden == {"Loss.auxiliary.sparse", "Optimizer.lr", "Optimizer.schedule.gamma"}


def test_a_value_may_hold_an_equals_sign(minimal):
    assert load_config(minimal, ["Global.name=a=b"])["Global"]["name"] == "a=b"


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("Optimizer.lrr=1", "Optimizer.lr"),
        ("Optimiser.lr=1", "Optimizer.lr"),
        ("lr=1", "Optimizer.lr"),
        ("Global.lr=1", "Optimizer.lr"),
        ("Global.epoch=1", "Global.epochs"),
        ("global.epochs=1", "Global.epochs"),
        ("DataLoader.Train.batchsize=1", "DataLoader.Train.batch_size"),
        ("DataLoader.Eval.drop_last=true", "DataLoader.Train.drop_last"),
        ("Optimizer.Schedule.gama=1", "Optimizer.schedule.gamma"),
        ("Optimizer.learning_rate=1", "Optimizer.lr"),
        ("Optimizer.base_lr=1", "Optimizer.lr"),
        ("Optimizer.wd=1", "Optimizer.weight_decay"),
        ("Optimizer.scheduler.gamma=1", "Optimizer.schedule.gamma"),
        ("DataLoader.Train.workers=1", "DataLoader.Train.num_workers"),
        ("Global.save_dir=x", "Global.output_dir"),
    ],
)
def test_an_unknown_key_names_the_nearest(minimal, override, nearest):
    with pytest.raises(
        ValueError, match=f"-o {override}: unknown key '{override.split('=')[0]}'. Did you mean"
    ) as error:
        load_config(minimal, [override])
    assert str(error.value).split("Did you mean ")[1].startswith(f"'{nearest}'")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Global.epochs", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("Global..epochs=3", "expected KEY=VALUE"),
        ("Arch.name=[", "not valid YAML"),
        ("Global.epochs=yes", r"Global\.epochs must be a whole number below 2\^63, got True \(bool\)"),
        ("Global.epochs=1e3", r"must be a whole number .*, got 1000\.0 \(float\)"),
        ("Global.epochs=1:30", r"must be a whole number .*, got '1:30' \(str\)"),
        ("Global.epochs=0x10", r"must be a whole number .*, got '0x10' \(str\)"),
        ("Global.seed=99999999999999999999", r"Global\.seed must be a whole number below 2\^63, got 9999"),
        ("Global.output_dir=~", r"Global\.output_dir must be a text, got nothing \(null\)"),
        ("Global.name=no", r"must be a text, got False \(bool\): put it in quotes"),
        ("DataLoader.Eval.dataset.class_names=[a, b, a]", "must be a list of different names"),
        ("Global.custom_imports=[a-b]", "must be a list of Python modules"),
        ("Global.epochs=1.0", r"must be a whole number .*, got 1\.0 \(float\)"),
        ("Global.epochs=null", "must be a whole number .*, got nothing"),
        ("Global.epochs=0", r"Global\.epochs must be > 0, got 0"),
        ("Global.use_visualdl=1", "must be true or false, got 1"),
        ("Global.name=5", r"Global\.name must be a text, got 5 \(int\)"),
        ("Global.name=a/b", "must be a plain folder name"),
        ("Global.device=gpu:x", "must be auto, cpu, gpu or gpu:N, got 'gpu:x'"),
        ("Optimizer.lr=fast", r"Optimizer\.lr must be a number, got 'fast' \(str\)"),
        ("Optimizer.lr='0.1'", "must be a number, got '0.1'"),
        ("Optimizer.lr=.nan", "must be a number, got nan"),
        ("Optimizer.lr=.inf", "must be a number, got inf"),
        ("Optimizer.lr=true", "must be a number, got True"),
        ("Optimizer.lr.x=1", "must be a number, got {'x': 1}"),
        ("Optimizer.name=Lion", "must be one of SGD, Momentum, Adam, AdamW, got 'Lion'"),
        ("Optimizer.schedule=Step", r"Optimizer\.schedule must be a mapping of keys to values"),
        ("Optimizer.schedule.milestones=[3, 2]", "must be a rising list of epochs > 0"),
        ("Optimizer.grad_clip=0", "must be > 0"),
        ("EMA.decay=1.0", "must be > 0 and < 1"),
        ("Loss.label_smoothing=1", "must be >= 0 and < 1"),
        ("Loss.auxiliary.sparse=a", r"Loss\.auxiliary\.sparse must be a number"),
        ("Metric.topk=[1, a]", "must be a list, each item a whole number .*, got"),
        ("Metric.topk=[]", "must be a list of whole numbers > 0"),
        ("Metric.topk=1", r"must be a list, each item a whole number .*, got 1 \(int\)"),
        ("Export.input_shape=[3, 32]", "must be three whole numbers > 0"),
        ("DataLoader.Train.transforms.0=ToArray", "must be a list, each item a text or a mapping"),
        ("DataLoader.Train.batch_size=-1", "must be > 0"),
        ("Arch.pretrained=3", "must be true or false or a text"),
    ],
)
def test_unfit_overrides(minimal, override, message):
    with pytest.raises(ValueError, match=message) as error:
        load_config(minimal, [override])
    assert str(error.value).startswith(f"-o {override}")
    assert "\n" not in str(error.value)


def test_unfit_values_in_a_file_name_the_file(write):
    with pytest.raises(ValueError, match=r"run\.yaml: Optimizer\.momentum must be >= 0 and < 1, got 1\.5"):
        load_config(write("Optimizer: {momentum: 1.5}" + MINIMAL))


# saving


def test_saved_and_read_again(minimal, tmp_path):
    overrides = [
        "Optimizer.lr=1e-7",
        "Arch.text='1e-3'",
        "Arch.odd='yes'",
        "Arch.empty={}",
        'Arch.lines="a\\nb: c # d"',
        "Global.name=Zürich",
        "DataLoader.Train.transforms=[{Normalize: {mean: [0.5], std: 1}}, ToArray]",
        "Loss.auxiliary.sparse=0.05",
    ]
    cfg = load_config(minimal, overrides)
    path = tmp_path / "deep" / "config.yaml"
    save_config(cfg, path)
    again = load_config(path)
    assert again == cfg
    assert again["Global"]["name"] == "Zürich"
    assert again.overridden == set()


NAMES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | NAMES
    | st.from_regex(r"[-.0-9e]{1,6}", fullmatch=True)
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3), max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_value_survives_saving(arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.yaml"
        path.write_text(MINIMAL)
        cfg = load_config(path)
        cfg["Arch"]["arguments"] = arguments
        save_config(cfg, path)
        assert load_config(path) == cfg


def test_the_printed_configuration_marks_what_was_overridden(minimal):
    cfg = load_config(
        minimal, ["Optimizer.lr=0.5", "Metric.topk=[1]", "DataLoader.Eval.transforms=[{Pad: {padding: 1}}]"]
    )
    marked = [line.strip() for line in format_config(cfg).splitlines() if line.endswith("# overridden")]
    assert marked == ["lr: 0.5  # overridden", "transforms:  # overridden", "topk: [1]  # overridden"]
    assert yaml.safe_load(format_config(cfg)) == dict(cfg)


def test_a_failed_save_keeps_the_old_file(minimal, tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text("old")

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(OSError, match="No space"):
        save_config(load_config(minimal), path)
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "run.yaml"]


def test_copies_keep_the_attributes(minimal):
    cfg = load_config(minimal, ["Global.seed=1"])
    for other in (copy.deepcopy(cfg), pickle.loads(pickle.dumps(cfg))):
        assert isinstance(other, Config)
        assert other == cfg
        assert (other.path, other.overridden) == (cfg.path, {"Global.seed"})


def test_dotted_keys():
    keys = list(dotted_keys())
    assert "Optimizer.schedule.milestones" in keys
    assert "DataLoader.Train.drop_last" in keys
    assert len(keys) == len(set(keys))
