# %% [markdown]
# # DDF: a filter for every pixel and every channel
# **解耦动态滤波器 DDF：逐像素、逐通道的滤波器。**
#
# Zhou et al., *Decoupled Dynamic Filter Networks*, CVPR 2021. Run it as a script, `python tools/tutorials/ddf.py`, or
# cell by cell in VS Code or Jupyter. Nothing is downloaded, and it takes a minute or two on two CPU cores.

# %%
import numpy as np
import paddle
import paddle.nn.functional as F
from common import accuracy, compare, digits, draw, fine_tune, fit
from sklearn.datasets import load_sample_image

import ppeffconv
from ppeffconv.layers import DDF2D, DDFUpsample2D
from ppeffconv.models import pictures

# %% [markdown]
# ## 1. The idea: filters that look at what they filter
# **想法：滤波器取决于它所处理的内容。**
#
# A noisy photograph, smoothed by one 5x5 Gaussian for all pixels, and by a filter for each pixel that gives weight to
# those neighbours which look alike. The network does the same, with filters that it learns to predict.

# %%
photo = load_sample_image("flower.jpg")[40:296, 140:396].astype(np.float32) / 255
clean = paddle.to_tensor(photo.transpose(2, 0, 1)[None])
noisy = clean + 0.1 * paddle.randn(clean.shape)
distance = np.square(np.arange(-2, 3))
gaussian = paddle.to_tensor(np.exp(-(distance[:, None] + distance) / 4).astype(np.float32))
same = (gaussian / gaussian.sum()).expand([1, 3, 5, 5])  # a filter for each channel


def neighbours(x):
    """[1, C, H, W] -> [1, C, 25, H, W]: the 5x5 values around each pixel."""
    return F.unfold(x, 5, paddings=2).reshape([1, x.shape[1], 25, *x.shape[2:]])


rough = F.avg_pool2d(noisy, 5, 1, 2, exclusive=True)
unlike = (neighbours(rough) - rough.unsqueeze(2)).square().sum(1)
spatial = paddle.exp(-unlike / 0.01) * gaussian.reshape([1, 25, 1, 1])  # [1, 25, H, W]: a filter for each pixel
spatial = spatial / spatial.sum(1, keepdim=True)
fixed = ppeffconv.ops.ddf(noisy, same, paddle.ones_like(spatial), kernel_size=5)
dynamic = ppeffconv.ops.ddf(noisy, paddle.ones_like(same), spatial, kernel_size=5)
for name, image in (("noisy", noisy), ("one filter for all", fixed), ("a filter for each pixel", dynamic)):
    print(f"{name:<24} {-10 * np.log10(float((image - clean).square().mean())):.1f} dB")

# %% [markdown]
# ## 2. What the layer computes
# **这一层计算什么。**
#
# A filter for every pixel *and* channel would be too many numbers to predict; decoupled, it is the product (or the sum,
# `mode="add"`) of a spatial filter $F^s$, k x k numbers for each pixel, and a channel filter $F^c$, k x k for each
# channel (Eq. 2 of the paper):
# $$y_c(p) = \sum_{q} F^s_p(q - p)\, F^c_c(q - p)\, x_c(q)$$
# A 1x1 convolution predicts the one, two small layers on the image's mean the other; both are standardised over their
# k x k numbers, then scaled (Eq. 3).

# %%
layer = DDF2D(16)
x = paddle.randn([2, 16, 13, 17])


def standardise(filters, axis):
    centred = filters - filters.mean(axis, keepdim=True)
    return centred / (centred.square().sum(axis, keepdim=True) / 8).sqrt()  # nine taps


predict, squeeze, expand, norm = layer.spatial_branch[0], *(layer.channel_branch[i] for i in (1, 3, 4))
spatial_filter = standardise(predict(x), 1) * np.sqrt(2) / 3
channel_filter = expand(F.relu(squeeze(x.mean([2, 3], keepdim=True)))).reshape([2, 16, 9])
channel_filter = standardise(channel_filter, 2) * norm.std.reshape([16, 9])
windows = F.unfold(x, 3, paddings=1).reshape([2, 16, 9, 13, 17])
expected = (windows * spatial_filter.unsqueeze(1) * channel_filter.reshape([2, 16, 9, 1, 1])).sum(2)
np.testing.assert_allclose(layer(x).numpy(), expected.numpy(), rtol=1e-3, atol=1e-4)
print(f"equal to the formula; {sum(p.size for p in layer.parameters())} parameters, a dense 3x3 has {16 * 16 * 9}")

# %% [markdown]
# `DDFUpsample2D` doubles the size: four such modules filter the same features, and each fills every second pixel of
# every second row. A guide, here the photograph, can tell where edges are; [joint depth
# upsampling](../../configs/upsampling/README.md) trains that.

# %%
upsample = DDFUpsample2D(8, scale=2, guide_channels=3)
print(upsample(paddle.randn([1, 8, 32, 48]), paddle.randn([1, 3, 32, 48])).shape)

# %% [markdown]
# ## 3. A network of paddle.vision, converted and trained
# **转换 paddle.vision 的网络并训练。**
#
# `accelerate` lets Paddle's own layers run in this package's kernels; it changes no value. DDF predicts its filters, so
# nothing of a dense 3x3 weight can be carried over, and the converted network has to learn again. It mixes no
# channels: where no 1x1 convolution stands beside it, as in this network, one is appended. The last stage has maps of a
# single pixel here, where a 3x3 filter has nothing to look at, and stays dense.

# %%
train, test = digits(train=True), digits(train=False)
dense = ppeffconv.accelerate(paddle.vision.models.resnet18(num_classes=10))
fit(dense, train)
net = ppeffconv.convert(dense, "ddf", exclude="layer4.*", input_shape=(3, 32, 32))
print(net.conversion)
print(f"accuracy after 1 epoch: dense {accuracy(dense, test):.3f}; just converted {accuracy(net, test):.3f}")

# %%
fine_tune(dense, net, train, test, epochs=4, lr=3e-3)

# %% [markdown]
# ## 4. Deploy: are saved multiply-adds saved milliseconds?
# **部署：省下的乘加次数是否变成省下的毫秒？**
#
# The deploy form is one op for the whole network, equal to it up to rounding. The digits are too small to tell anything
# about time, so that is taken on larger images.

# %%
fast = ppeffconv.deploy(net)
images = paddle.to_tensor(test[0][:8])
print(f"largest difference to the training form: {float((fast(images) - net(images)).abs().max()):.1e}")
fewer_macs, speed_up = compare(dense, net, "DDF, mul")

# %% [markdown]
# ## 5. The picture: filters
# **图：滤波器。**
#
# Above, the experiment of section 1. Below, what the trained network predicts in its first DDF layer: the nine numbers
# of the spatial filter, a map for each, and the channel filters, a tile for each channel; the middle of the scale is 0.

# %%
shown = paddle.to_tensor(test[0][:1])
found = pictures(net, F.interpolate(shown, scale_factor=4, mode="bilinear"))
panels = [
    (title, image[0].clip(0, 1).numpy().transpose(1, 2, 0))
    for title, image in (("noisy", noisy), ("one filter for all", fixed), ("a filter for each pixel", dynamic))
]
panels += [("a digit", shown[0].numpy().transpose(1, 2, 0))]
first = next(name.rpartition("/")[0] for name in found if name.endswith("/spatial"))
panels += [(f"{first}, {kind} filters", found[f"{first}/{kind}"]) for kind in ("spatial", "channel")]
draw("ddf", panels, columns=3)
