"""Train, evaluate, infer, resume and report, in PaddleSeg's own loops, on tiny data."""

from __future__ import annotations

import json
import shutil

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from ppeffconv.accelerate import is_accelerated

from ..decay import check_decay


@pytest.fixture
def runner():
    from ppeffconv.integrations.ppseg import runner

    return runner


def scalars(folder):
    """What VisualDL recorded, by tag."""
    from visualdl import LogReader

    found = {}
    for file in sorted(folder.glob("vdlrecords.*")):
        reader = LogReader(file_path=str(file))
        for tag in reader.get_tags()["scalar"]:
            found.setdefault(tag, []).extend((row.id, row.value) for row in reader.get_data("scalar", tag))
    return found


def test_train_evaluate_infer_resume_and_report(runner, load, data, tmp_path, capsys):
    folder = runner.train(load("iters=2"))
    assert {path.name for path in folder.iterdir()} >= {"iter_2", "best_model", "config.yaml", "result.json"}
    with pytest.raises(ValueError, match="holds a run: --resume continues it"):
        runner.train(load())
    runner.train(load(), resume="auto")  # iters=4
    log = capsys.readouterr().out
    assert "Resume model from" in log
    assert "the best model of the first 2 iterations is kept in" in log
    assert (folder / "best_model_until_2" / "model.pdparams").is_file()
    assert (folder / "best_model" / "model.pdparams").is_file()
    assert "iter: 4/4" in log
    assert "iter: 3, temperature: 0.1732" in log  # 0.03 ** (2 / 4): it goes on, and does not begin anew
    curves = scalars(folder)
    assert [step for step, _ in curves["Train/loss"]] == [1, 2, 3, 4]
    for (_, total), (_, first), (_, second) in zip(*(curves[f"Train/loss{n}"] for n in ("", "_0", "_1"))):
        assert total == pytest.approx(first + second, rel=1e-5)
        assert 0.05 < second < 0.1  # 0.1 times a density below 1
    result = json.loads((folder / "result.json").read_text())
    assert curves["Evaluate/mIoU"][-1][1] == pytest.approx(result["miou"], abs=0.05)  # other noise
    again = runner.evaluate(load())
    assert again["miou"] == result["miou"]
    assert again["macs"] < again["macs_without_masks"]
    assert 0.5 < again["density"] < 1

    (data / "val0.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(data / "small.png")
    for suffix in ("gif", "tif"):
        Image.fromarray(np.zeros((5, 7), np.uint8)).save(data / f"图 像.{suffix}")
    for suffix in ("gif", "tif"):
        runner.infer(load(), str(data / f"图 像.{suffix}"))
    assert (tmp_path / "run" / "infer" / "added_prediction" / "图 像.gif.png").is_file()
    pictures = runner.infer(load(), str(data), output=str(tmp_path / "pictures"))
    assert "1 of 19 images cannot be read and were skipped" in capsys.readouterr().out
    drawn = Image.open(pictures / "pseudo_color_prediction" / "small.png")
    assert drawn.size == (7, 5)
    assert len(list((pictures / "added_prediction").iterdir())) == 18
    check_reports(load, folder, tmp_path, data)


def check_reports(load, folder, tmp_path, data):
    """Milliseconds, table, figure and masks of the finished run."""
    from ppeffconv.integrations.ppseg import masks, report, speed

    Image.open(data / "val1.png").save(data / "val0.png")
    speed.measure_runs([folder], images=2, rounds=1)
    document = tmp_path / "README.md"
    facts = {"model": "Net", "backbone": {"type": "B"}, "speedup": 1.5, "seconds": 0.2, "seconds_without": 0.3}
    facts |= {"batch": [2, 3, 8, 8], "machine": {"cpu": "C"}, "threads": 2, "rounds": 4}
    (tmp_path / "accelerate.json").write_text(json.dumps(facts))
    document.write_text("before\n<!-- segmentation -->\nold\n<!-- /segmentation -->\nafter\n")
    report.write(document, report.collect(tmp_path))
    text = document.read_text()
    assert text.startswith("before\n<!-- segmentation -->\n| network |")
    assert text.endswith("\n<!-- /segmentation -->\nafter\n")
    assert "old" not in text
    assert "Net with B 1.50 times as fast: 200 ms instead of 300 for a batch of 2x3x8x8, float32, C, 2 threads" in text
    result = json.loads((folder / "result.json").read_text())
    milliseconds = json.loads((folder / "speed.json").read_text())["milliseconds"]
    row = next(line for line in text.splitlines() if line.startswith("| stochastic sampling: "))
    assert f"| {100 * result['miou']:.1f} | {result['density']:.2f} | {result['macs'] / 1e9:.3f} |" in row
    assert f"| {milliseconds:.1f} | `train -c " in row
    assert Image.open(tmp_path / "miou.png").size[0] > 500
    picture = masks.draw_masks(load(), [str(data / "val1.png"), str(data / "small.png")], tmp_path / "masks.png")
    assert Image.open(picture).size[0] > 500
    assert "](masks.png)" not in text
    report.write(document, report.collect(tmp_path))
    assert "](masks.png)" in document.read_text()


def test_a_checkpoint_that_a_kill_left_half_is_passed_over(runner, load, capsys):
    folder = runner.train(load())
    (folder / "iter_4" / "model.pdopt").write_bytes(b"half")
    runner.train(load(), resume="auto")
    log = capsys.readouterr().out
    assert "is not complete, looking at the one before it" in log
    assert f"Resume model from {folder / 'iter_2'}" in log
    (folder / "iter_2" / "model.pdopt").write_bytes(b"half")
    (folder / "iter_4" / "model.pdparams").write_bytes(b"half")
    runner.train(load(), resume="auto")  # none is left: from the beginning
    assert "Resume model from" not in capsys.readouterr().out


def test_a_full_disk_is_one_message_and_loses_no_checkpoint(runner, load, full_disk):
    folder = runner.train(load("iters=2"))
    kept = {name: (folder / "iter_2" / name).read_bytes() for name in ("model.pdparams", "model.pdopt")}
    with full_disk(), pytest.raises(OSError, match=f"cannot save: File too large: '{folder}'"):
        runner.train(load(), resume="auto")
    assert {name: (folder / "iter_2" / name).read_bytes() for name in kept} == kept
    assert runner.train(load(), resume="auto") == folder
    with pytest.raises(OSError, match="'/proc/run'"):  # where nothing can be made, as in a folder that is read-only
        runner.train(load("run.save_dir=/proc/run"))


def test_resumed_curves_go_on_in_their_file(runner, load):
    folder = runner.train(load("iters=2"))
    (first,) = folder.glob("vdlrecords.*")
    runner.train(load(), resume="auto")
    assert list(folder.glob("vdlrecords.*")) == [first]
    assert [step for step, _ in scalars(folder)["Train/loss"]] == [1, 2, 3, 4]
    import visualdl

    assert visualdl.LogWriter.__module__.startswith("visualdl")


def test_a_copied_run_is_about_itself(runner, load, data, tmp_path):
    """Its weights, and what is written of it, lie beside its configuration."""
    from ppeffconv.integrations.ppseg.settings import RunConfig

    first = runner.train(load("iters=2"))
    copy = shutil.copytree(first, tmp_path / "elsewhere")
    for file in first.rglob("*.pdparams"):
        file.write_bytes(b"not to be read")
    before = sorted(first.rglob("*"))
    assert runner.evaluate(RunConfig(copy / "config.yaml"))["miou"] >= 0
    assert runner.infer(RunConfig(copy / "config.yaml"), str(data / "val0.png")) == copy / "infer"
    runner.train(RunConfig(copy / "config.yaml", ["iters=3"]), resume="auto")
    assert (copy / "iter_3").is_dir()
    assert sorted(first.rglob("*")) == before
    other = RunConfig(copy / "config.yaml", [f"run.save_dir={tmp_path / 'new'}"])
    assert other.run_dir == tmp_path / "new"


def test_pictures_of_a_network_that_does_not_sample(runner, load, data, tmp_path):
    from ppeffconv.integrations.ppseg import masks

    plain = "model.backbone={type: EffConvResNet, name: sp_resnet18, kwargs: {width: 8}, auxiliary: null}"
    runner.train(load("iters=2", plain))
    (data / "val0.png").write_bytes(b"no image")
    picture = masks.draw_masks(load(plain), [str(data)], tmp_path / "pictures.png")
    assert Image.open(picture).size[1] > 2000  # a line for each of the first images in the folder


@pytest.mark.parametrize("kind", ["AdamW", "SGD"])
def test_masks_do_not_decay(runner, load, kind, monkeypatch):
    import paddleseg.core

    seen = {}
    monkeypatch.setattr(paddleseg.core, "train", lambda model, *_, **options: seen.update(options, model=model))
    backbone = "model.backbone={type: EffConvResNet, name: learned_versatile_resnet18, kwargs: {width: 8}}"
    runner.train(load(backbone, f"optimizer={{type: {kind}, weight_decay: 0.1}}", "val_dataset=null"))
    check_decay(seen["model"], seen["optimizer"])


def test_a_run_goes_on_as_it_began(runner, load, data, tmp_path):
    """Places may change, what shapes the course may not, nor what the data are."""
    runner.train(load("iters=2"))
    for change in ("batch_size=1", "lr_scheduler.power=0.5", "model.channels=8", "optimizer.weight_decay=0.5"):
        key, _, value = change.partition("=")
        with pytest.raises(ValueError, match=rf"cannot resume .*{key}: the run .*, now {value}"):
            runner.train(load(change), resume="auto")
    moved = shutil.copytree(data, tmp_path / "moved")
    places = [f"train_dataset.dataset_root={moved}", f"train_dataset.train_path={moved / 'train.txt'}"]
    runner.train(load("iters=3", "run.log_iters=2", *places), resume="auto")
    lines = (data / "train.txt").read_text().splitlines(keepends=True)
    (data / "train.txt").write_text("".join(lines[:3]))
    with pytest.raises(ValueError, match="trained on other data: images: 4, now 3"):
        runner.train(load(), resume="auto")


def test_a_loss_that_is_not_finite_ends_the_run(runner, load):
    with pytest.raises(RuntimeError, match=r"the loss is (nan|inf) in step \d"):
        runner.train(load("lr_scheduler.learning_rate=1e30"))


def test_a_finished_run_is_only_evaluated_again(runner, load, capsys):
    folder = runner.train(load())
    before = (folder / "result.json").read_text()
    capsys.readouterr()
    assert runner.train(load(), resume="auto") == folder
    assert (folder / "result.json").read_text() == before
    assert "[TRAIN]" not in capsys.readouterr().out


def test_what_it_started_from_is_not_needed_afterwards(runner, load, tmp_path):
    first = runner.train(load("iters=2", f"run.save_dir={tmp_path / 'first'}")) / "iter_2" / "model.pdparams"
    second = [f"model.pretrained={first}", "iters=2", f"run.save_dir={tmp_path / 'second'}"]
    runner.train(load(*second))
    first.unlink()
    assert 0 <= runner.evaluate(load(*second))["miou"] <= 1


def test_the_same_seed_gives_the_same_run(runner, load, tmp_path):
    results = [runner.train(load("iters=2", f"run.save_dir={tmp_path / name}")) / "iter_2" for name in "ab"]
    first, second = (paddle.load(str(folder / "model.pdparams")) for folder in results)
    assert all(np.array_equal(first[key].numpy(), second[key].numpy()) for key in first)


def test_kernels_are_switched_on(runner, load):
    from paddleseg.cvlibs import SegBuilder

    for wanted in (True, False):
        cfg = load(f"run.accelerate={wanted}")
        cfg.dic["model"] = {
            "type": "DeepLabV3P",
            "num_classes": 3,
            "aspp_out_channels": 256,
            "backbone": {"type": "ResNet50_vd"},
        }
        model = SegBuilder(cfg).model
        runner.prepare(model, cfg)
        assert any(map(is_accelerated, model.sublayers())) == wanted


def test_damaged_samples_are_counted_in_the_result(runner, load, data):
    (data / "train1.png").write_bytes(b"no image")
    (data / "train2_labels.png").unlink()
    folder = runner.train(load("iters=2"))
    assert json.loads((folder / "result.json").read_text())["skipped"] == 1
    assert "train1.png" in (folder / "skipped.txt").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_resized_images_are_judged_at_their_own_size(runner, load, workers):
    resize = "val_dataset.transforms=[{type: Resize, target_size: [20, 28]}, {type: Normalize}]"
    folder = runner.train(load("iters=2", resize, f"run.num_workers={workers}"))
    result = json.loads((folder / "result.json").read_text())
    assert result["image"] == [28, 20]  # PaddleSeg's target_size is width, height
    assert 0 <= result["miou"] <= 1


def test_images_smaller_than_the_stride_train(runner, load, data):
    for path in data.glob("*.png"):
        Image.open(path).crop((0, 0, 7, 5)).save(path)
    assert 0 <= json.loads((runner.train(load("iters=2")) / "result.json").read_text())["miou"] <= 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("iterss=3", r"no argument 'iterss'. Did you mean 'iters'"),
        ("run.save_intervall=3", r"run has no argument 'save_intervall'. Did you mean 'save_interval'"),
        ("model.backbone.name=resnet17", r"unknown model 'resnet17'. Did you mean 'resnet1"),
        ("model.backbone.depth=3", r"unexpected keyword argument 'depth'"),
        ("model.type=DilatedFNP", r"DilatedFNP"),
        ("train_dataset.num_classes=5", r"`num_classes` is not consistent"),
        ("model.backbone.auxiliary.spares=1", r"offers no auxiliary loss 'spares'"),
        ("batch_size=9", r"batch_size 9 is more than the 4 training samples"),
        ("iters", r"expected KEY=VALUE"),
        ("iters=0", r"-o iters=0: iters must be > 0, got 0"),
        ("iters=2.5", r"iters must be a whole number"),
        ("batch_size=0", r"batch_size must be > 0"),
        ("batch_size=null", r"batch_size must be a whole number"),
        ("run.save_interval=0", r"-o run.save_interval=0: run.save_interval must be > 0, got 0 \(int\)"),
        ("run.log_iters=0", r"run.log_iters must be > 0"),
        ("run.num_workers=-1", r"run.num_workers must be >= 0"),
        ("run.seed=99999999999999999999", r"run.seed must be a whole number below 2"),
        ("run.seed=-1", r"run.seed must be >= 0"),
        ("run.temperature=1", r"run.temperature must be a list"),
        ("run.temperature=[1]", r"run.temperature must be two numbers > 0"),
        ("run.accelerate=maybe", r"run.accelerate must be true or false"),
        ("run.save_dir=5", r"run.save_dir must be a text, got 5"),
        ("run=5", r"run must be a mapping, got 5"),
        ("model=null", r"model must be a mapping, got nothing"),
        ("model.num_classes='3'", r"model.num_classes must be a whole number .*, got '3'"),
        ("model.backbone.kwargs=5", r"model.backbone.kwargs must be a mapping"),
        ("model.backbone.name=5", r"model.backbone.name must be a text"),
        ("optimizer.weight_decay=much", r"optimizer.weight_decay must be a number"),
        ("optimizer.type=AdamWW", r"AdamWW"),
        ("lr_scheduler.learning_rate=-1", r"lr_scheduler.learning_rate must be > 0"),
        ("lr_scheduler.warmup_iters=few", r"lr_scheduler.warmup_iters must be a whole number"),
        ("lr_scheduler.type=Foo", r"Foo"),
        ("loss.coef=1", r"loss.coef must be a list"),
        ("loss.types=[{type: Foo}]", r"Foo"),
        ("train_dataset.transforms=[Normalize]", r"train_dataset.transforms must be a list, each item a mapping"),
        ("train_dataset.transforms=[{type: Normalize, mean: 3}]", r"Normalize"),
    ],
)
def test_bad_settings(runner, load, override, message):
    with pytest.raises(ValueError, match=message):
        runner.train(load(override))


def test_missing_things(runner, load, tmp_path):
    from ppeffconv.integrations.ppseg.settings import RunConfig

    with pytest.raises(FileNotFoundError, match="no configuration file"):
        RunConfig(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match="holds no checkpoint: train first"):
        runner.evaluate(load())
    with pytest.raises(FileNotFoundError, match="train_path"):
        runner.train(load(f"train_dataset.train_path={tmp_path / 'none.txt'}"))
    with pytest.raises(FileNotFoundError, match="expected a folder iter_N"):
        runner.train(load(), resume=str(tmp_path))


def test_missing_scenes_are_named(runner, load, tmp_path):
    root = tmp_path / "scenes"
    with pytest.raises(FileNotFoundError, match=rf"make the scenes with `python tools/make_scenes.py --output {root}`"):
        runner.train(load(f"train_dataset.dataset_root={root}", f"train_dataset.train_path={root / 'train.txt'}"))


def test_weights_of_another_network(runner, load, tmp_path):
    paddle.save({"a": paddle.zeros([1])}, str(tmp_path / "w.pdparams"))
    with pytest.raises(ValueError, match="does not fit DilatedFPN"):
        runner.evaluate(load(), str(tmp_path / "w.pdparams"))


def test_the_saved_configuration_is_the_run(runner, load):
    from ppeffconv.integrations.ppseg.settings import RunConfig

    cfg = load("iters=7")
    folder = cfg.run_dir
    folder.mkdir()
    (folder / "config.yaml").write_text(str(cfg))
    assert yaml.safe_load(str(cfg)) == RunConfig(folder / "config.yaml").dic


def test_commands(load, tmp_path, capsys):
    from ppeffconv.integrations.ppseg.__main__ import commands

    def main(*arguments):
        every = commands()
        every.main(every.parser.parse_args(arguments))

    load()  # writes tiny.yaml
    config = ["-c", str(tmp_path / "tiny.yaml"), "-o", "iters=2"]
    main("train", *config)
    assert f"run:      {tmp_path / 'run'}" in capsys.readouterr().out
    main("eval", *config, "--weights", str(tmp_path / "run" / "best_model"))
    assert "mIoU 0." in capsys.readouterr().out.splitlines()[-1]
    times = tmp_path / "times.json"
    main("speed", *config, "--rounds", "1", "--output", str(times))
    result = json.loads(times.read_text())
    assert result["speedup"] == pytest.approx(result["seconds_without"] / result["seconds"])
    assert result["batch"] == [2, 3, 64, 64]


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "AdamW", "weight_decay": 0.5},
        {"type": "SGD", "weight_decay": 0.5},
        {"type": "SGD", "weight_decay": 0.5, "custom_cfg": [{"name": "backbone", "weight_decay_mult": 2.0}]},
    ],
    ids=["AdamW", "Momentum", "groups"],
)
def test_weight_decay_spares_what_is_no_weight(runner, load, monkeypatch, optimizer):
    moved = set()

    def steps(model, train_set, optimizer, **options):
        before = {name: parameter.numpy() for name, parameter in model.named_parameters()}
        (sum(p.sum() for p in model.parameters() if not p.stop_gradient) * 0).backward()
        optimizer.step()
        moved.update(name for name, p in model.named_parameters() if (p.numpy() != before[name]).any())
        raise KeyboardInterrupt  # nothing is to be saved

    monkeypatch.setattr("paddleseg.core.train", steps)
    cfg = load("iters=2")
    cfg.dic["optimizer"] = optimizer
    with pytest.raises(KeyboardInterrupt):
        runner.train(cfg)
    assert not [name for name in moved if name.endswith("_sigma")]
    assert any(name.endswith("conv1.weight") for name in moved)
