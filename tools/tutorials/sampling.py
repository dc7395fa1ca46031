# %% [markdown]
# # Stochastic sampling and interpolation: compute some pixels, interpolate the others
# **随机采样与插值：只计算一部分像素，其余插值。**
#
# Xie et al., *Spatially Adaptive Inference with Stochastic Feature Sampling and Interpolation*, ECCV 2020. Run it as a
# script, `python tools/tutorials/sampling.py`, or cell by cell in VS Code or Jupyter. Nothing is downloaded, and it
# takes a minute or two on two CPU cores.

# %%
import numpy as np
import paddle
import paddle.nn.functional as F
from common import SIZE, accuracy, digits, draw, fine_tune, fit, race, table
from sklearn.datasets import load_sample_image

import ppeffconv
from ppeffconv.layers import SampledBottleneck, density_report
from ppeffconv.models import expected_macs, pictures

# %% [markdown]
# ## 1. The idea: few pixels tell about the others
# **想法：少数像素就能推断其余像素。**
#
# Keep a third of a photograph's pixels and fill in the others from those in a 7x7 window, weighted by a Gaussian. Which
# pixels are kept matters: here once all with the same probability, once a coarse grid, and more of them where the
# photograph changes.

# %%
photo = load_sample_image("china.jpg")[60:316, 200:456].astype(np.float32) / 255
x = paddle.to_tensor(photo.transpose(2, 0, 1)[None])
change = (x - F.avg_pool2d(x, 5, 1, 2, exclusive=True)).abs().mean(1, keepdim=True)
chances = {"evenly": paddle.full_like(change, 1 / 3)}
grid = paddle.zeros_like(change)
grid[:, :, ::4, ::4] = 1
scale = 1.0
while float(paddle.maximum(grid, scale * change).clip(0, 1).mean()) < 1 / 3:
    scale *= 1.05
chances["by detail"] = paddle.maximum(grid, scale * change).clip(0, 1)
masks = {name: (paddle.rand(chance.shape) < chance).astype("float32") for name, chance in chances.items()}
filled = {name: ppeffconv.ops.sample_interpolate(x, mask, paddle.to_tensor([1.0])) for name, mask in masks.items()}
for name, mask in masks.items():
    error = float((filled[name] - x).square().mean())
    print(f"kept {name:<10} {float(mask.mean()):.2f} of the pixels, interpolated: {-10 * np.log10(error):.1f} dB")

# %% [markdown]
# ## 2. What a block computes
# **一个残差块计算什么。**
#
# A 3x3 convolution of the block's input gives, for each pixel, the probability $p$ to keep it; a mask $M$ is drawn from
# that, by Gumbel sampling in training, and here in evaluation by $p \ge 1/2$. A regular grid is always kept. Features
# $F$ are computed where $M$ is 1 and interpolated elsewhere, with a learned inverse width $\sigma$:
# $$\hat F = M F + (1 - M) \frac{K * (F M)}{K * M + \epsilon},\qquad
#   K(d) = \frac{\sigma^2}{2\pi} e^{-\sigma^2 d^2 / 2}$$

# %%
block = SampledBottleneck(16, 4, grid_stride=5, eval_mode="deterministic")
for branch in (block.conv1_mask, block.conv2_mask):  # they start with p = 0.95 everywhere
    branch.weight.set_value(paddle.randn(branch.weight.shape))
    branch.bias.set_value(paddle.zeros([1]))
block.eval()
features = paddle.randn([2, 16, 13, 17])

squares = paddle.arange(-3, 4, dtype="float32").square()
grid = paddle.zeros([13, 17])
grid[::5, ::5] = 1


def mask_of(branch):
    return paddle.maximum((F.sigmoid(branch(features)) >= 0.5).astype("float32"), grid.expand([2, 1, 13, 17]))


def interpolate(values, mask, sigma):
    kernel = sigma**2 / (2 * np.pi) * paddle.exp(-(sigma**2) * (squares.unsqueeze(1) + squares) / 2)
    blur = lambda x: F.conv2d(x, kernel.expand([x.shape[1], 1, 7, 7]), padding=3, groups=x.shape[1])  # noqa: E731
    return mask * values + (1 - mask) * blur(values * mask) / (blur(mask) + 1e-5)


first, second = mask_of(block.conv1_mask), mask_of(block.conv2_mask)
a = interpolate(F.relu(block.bn1(block.conv1(features))), first, block.conv1_sigma)
b = interpolate(F.relu(block.bn2(block.conv2(a))), second, block.conv2_sigma)
expected = F.relu(block.bn3(block.conv3(b)) + features)
np.testing.assert_allclose(block(features).numpy(), expected.numpy(), rtol=1e-3, atol=1e-4)
print(f"equal to the formula, at densities {float(first.mean()):.2f} and {float(second.mean()):.2f}")

# %% [markdown]
# ## 3. A network of paddle.vision, trained, converted, fine-tuned
# **把训练好的 paddle.vision 网络转换，再微调。**
#
# `accelerate` lets Paddle's own layers run in this package's kernels; it changes no value. Every weight is carried
# over, and the new masks keep everything at first. Fine-tuning adds the price of a kept pixel to the loss and lets the
# temperature of the sampling fall. The paper takes 175 000 steps for that; here are about a hundred, in which the
# masks, named `conv1_mask` and `conv2_mask`, learn faster than the rest. The last two stages have maps of a few pixels
# here and stay dense.

# %%
train, test = digits(train=True), digits(train=False)
dense = ppeffconv.accelerate(paddle.vision.models.resnet18(num_classes=10))
fit(dense, train)
net = ppeffconv.convert(dense, "sampling", include="layer[12].*", eval_mode="deterministic", input_shape=(3, 32, 32))
print(net.conversion)
print(f"accuracy after 1 epoch: dense {accuracy(dense, test):.3f}; just converted {accuracy(net, test):.3f}")

# %%
for name, parameter in net.named_parameters():
    if "_mask." in name:
        parameter.optimize_attr["learning_rate"] = 50.0  # times that of the others
fine_tune(dense, net, train, test, epochs=2, sparse=0.5)
for row in density_report(net):
    print(f"{row.name}: masks keep {', '.join(f'{share:.2f}' for share in row.densities)}")

# %% [markdown]
# ## 4. Deploy: are saved multiply-adds saved milliseconds?
# **部署：省下的乘加次数是否变成省下的毫秒？**
#
# The deploy form computes the kept pixels only. What that saves depends on the image; here it is a page of many digits,
# large enough to tell something about time. Multiply-adds are counted at the densities that the masks have on it, as
# the paper does.

# %%
rows = SIZE // 32
page = test[0][: rows * rows].reshape([rows, rows, 3, 32, 32]).transpose([2, 0, 3, 1, 4]).reshape([1, 3, SIZE, SIZE])
page = paddle.to_tensor(page)
fast = ppeffconv.deploy(net)
with paddle.no_grad():
    print(f"largest difference to the training form: {float((fast(page) - net(page)).abs().max()):.1e}")
densities = {row.name: row.densities for row in density_report(net)}
shape, name = (3, SIZE, SIZE), f"sampling, mean density {np.mean(list(densities.values())):.2f}"
macs = {"dense": ppeffconv.profile(dense, shape).macs, name: expected_macs(net, shape, densities)}
fewer_macs, speed_up = table(macs, race({"dense": ppeffconv.deploy(dense), name: fast}, page))

# %% [markdown]
# ## 5. The picture: masks and interpolation
# **图：掩码与插值。**
#
# Above, the experiment of section 1. Below, the page in that block whose first mask is closest to keeping one half: the
# mask, the features at the sampled pixels, and all of them after interpolation. A block that keeps next to nothing is
# one that the network has learned to do without.

# %%
found = pictures(net, page)
block = min(densities, key=lambda name: abs(densities[name][0] - 0.5))
panels = [(f"kept {name}", (x * mask)[0].numpy().transpose(1, 2, 0)) for name, mask in masks.items()]
panels += [(f"interpolated, kept {name}", y[0].clip(0, 1).numpy().transpose(1, 2, 0)) for name, y in filled.items()]
panels += [("page", page[0].numpy().transpose(1, 2, 0))]
panels += [(f"{block}, mask", found[f"{block}.conv1_gumbel/mask"])]
panels += [(f"{block}, {kind}", found[f"{block}/{kind}"]) for kind in ("sampled", "interpolated")]
draw("sampling", panels, columns=4)
