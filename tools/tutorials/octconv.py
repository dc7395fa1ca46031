# %% [markdown]
# # OctConv: a share of the channels at half the resolution
# **OctConv 八度卷积：一部分通道只保留一半分辨率。**
#
# Chen et al., *Drop an Octave*, ICCV 2019. Run it as a script, `python tools/tutorials/octconv.py`, or cell by cell in
# VS Code or Jupyter. Nothing is downloaded, and it takes a minute or two on two CPU cores.

# %%
import numpy as np
import paddle
import paddle.nn.functional as F
from common import accuracy, compare, digits, draw, fine_tune, fit
from sklearn.datasets import load_sample_image

import ppeffconv
from ppeffconv.layers import OctConv2D, downsample2, upsample2
from ppeffconv.models import pictures

# %% [markdown]
# ## 1. The idea: most of an image survives at half its size
# **想法：图像的大部分信息在一半分辨率下仍然保留。**
#
# Halve a photograph, enlarge it again, and see what is lost. Features are images too: those that are smooth need not be
# computed at every pixel.

# %%
photo = load_sample_image("china.jpg")[60:316, 200:456].astype(np.float32) / 255
x = paddle.to_tensor(photo.transpose(2, 0, 1)[None])
low = downsample2(x)
lost = x - upsample2(low, like=x)
print(f"pixels kept: {low.size / x.size:.2f}, variance kept: {1 - lost.numpy().var() / x.numpy().var():.3f}")

# %% [markdown]
# ## 2. What the layer computes
# **这一层计算什么。**
#
# Features are a pair: `high` at full resolution and `low`, a share alpha of the channels, at half of it. Four kernels
# connect the two groups (Eq. 4 of the paper), where $P$ is average pooling by 2 and $U$ nearest upsampling by 2:
# $$y_h = W_{hh} x_h + U(W_{lh} x_l), \qquad y_l = W_{hl} P(x_h) + W_{ll} x_l$$
# Together they hold as many weights as one dense kernel. Odd sizes are fine: here 33x47 and 17x24.

# %%
layer = OctConv2D(8, 12, 3, alpha_in=0.25, alpha_out=0.5, padding=1)
high, low = paddle.randn([2, 6, 33, 47]), paddle.randn([2, 2, 17, 24])
got_high, got_low = layer((high, low))

weights = {path: getattr(layer, f"conv_{path}").weight for path in ("h2h", "l2h", "h2l", "l2l")}
convolve = lambda x, path: F.conv2d(x, weights[path], padding=1)  # noqa: E731
up = F.interpolate(convolve(low, "l2h"), scale_factor=2, mode="nearest")[:, :, :33, :47]
pooled = F.avg_pool2d(high, 2, 2, ceil_mode=True, exclusive=True)
np.testing.assert_allclose(got_high.numpy(), (convolve(high, "h2h") + up).numpy(), rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(
    got_low.numpy(), (convolve(pooled, "h2l") + convolve(low, "l2l")).numpy(), rtol=1e-4, atol=1e-5
)
print(f"equal to the formula; {sum(w.size for w in weights.values())} weights, a dense 3x3 kernel has {12 * 8 * 9}")

# %% [markdown]
# Each low channel costs a quarter, so that a layer with the same alpha on both sides needs this share of the dense
# multiply-adds: $1 - \frac{3}{4}\alpha(2 - \alpha)$.

# %%
for alpha in (0.125, 0.25, 0.5, 0.75):
    print(f"alpha {alpha}: {1 - 0.75 * alpha * (2 - alpha):.2f} of the multiply-adds")

# %% [markdown]
# ## 3. A network of paddle.vision, trained, converted, fine-tuned
# **把训练好的 paddle.vision 网络转换成八度卷积，再微调。**
#
# `accelerate` lets Paddle's own layers run in this package's kernels; it changes no value. `convert` finds the
# residual stages and lets pairs flow through them. Every dense weight has its place in one of the four kernels, but a
# channel at half resolution computes something else, so the network is fine-tuned.

# %%
train, test = digits(train=True), digits(train=False)
dense = ppeffconv.accelerate(paddle.vision.models.resnet18(num_classes=10))
fit(dense, train)
net = ppeffconv.convert(dense, "octconv", alpha=0.5, input_shape=(3, 32, 32))
print(net.conversion)
print(f"accuracy after 1 epoch: dense {accuracy(dense, test):.3f}; just converted {accuracy(net, test):.3f}")

# %%
fine_tune(dense, net, train, test, epochs=2)

# %% [markdown]
# ## 4. Deploy: are saved multiply-adds saved milliseconds?
# **部署：省下的乘加次数是否变成省下的毫秒？**
#
# The deploy form is one op for the whole network, with pooling and sums inside the convolutions. It equals the network
# up to rounding. The digits are too small to tell anything about time, so that is taken on larger images.

# %%
fast = ppeffconv.deploy(net)
images = paddle.to_tensor(test[0][:8])
print(f"largest difference to the training form: {float((fast(images) - net(images)).abs().max()):.1e}")
fewer_macs, speed_up = compare(dense, net, "OctConv, alpha 0.5")

# %% [markdown]
# ## 5. The picture: both groups of three layers
# **图：三个层的高频组与低频组。**
#
# The mean magnitude over the channels, from dark to bright. The low groups have a quarter of the pixels.

# %%
shown = F.interpolate(x, size=[224, 224], mode="bilinear")
found = pictures(net, shown)
layers = [name.rpartition("/")[0] for name in found if name.endswith("/low")]
chosen = layers[:: max(1, len(layers) // 3)][:3]
panels = [("photograph", photo)] + [(f"{name}, high", found[f"{name}/high"]) for name in chosen]
panels += [("lost at half its size", (lost[0].abs() * 4).clip(0, 1).numpy().transpose(1, 2, 0))]
panels += [(f"{name}, low", found[f"{name}/low"]) for name in chosen]
draw("octconv", panels, columns=4)
