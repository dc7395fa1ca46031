# %% [markdown]
# # Versatile filters: several filters out of one
# **多功能滤波器：一个存储的滤波器派生出多个。**
#
# Wang et al., *Learning Versatile Filters for Efficient Convolutional Neural Networks*, NeurIPS 2018. Run it as a
# script, `python tools/tutorials/versatile.py`, or cell by cell in VS Code or Jupyter. Nothing is downloaded, and it
# takes a minute or two on two CPU cores.

# %%
import numpy as np
import paddle
import paddle.nn.functional as F
from common import accuracy, compare, digits, draw, fine_tune, fit
from sklearn.datasets import load_sample_image

import ppeffconv
from ppeffconv.layers import VersatileConv2D
from ppeffconv.models import count_parameters, pictures

# %% [markdown]
# ## 1. The idea: a large filter contains smaller ones
# **想法：大滤波器里包含小滤波器。**
#
# A 7x7 filter, used again as the 5x5, the 3x3 and the 1x1 in its centre, sees the same photograph at four scales, and
# is stored once. One layer with a single stored filter does that; here the filter is set by hand, to a blob detector
# (the Laplacian of a Gaussian).

# %%
photo = load_sample_image("china.jpg")[60:316, 200:456].mean(axis=2).astype(np.float32) / 255
layer = VersatileConv2D(1, 4, 7, padding=3, bias_attr=False)
square = np.square(np.arange(-3, 4))
radius = square[:, None] + square
layer.weight.set_value(((2 - radius) * np.exp(-radius / 2)).astype(np.float32)[None, None])
responses = layer(paddle.to_tensor(photo[None, None]))[0]
print(f"{layer.weight.size} stored numbers give {responses.shape[0]} channels")

# %% [markdown]
# ## 2. What the layer computes
# **这一层计算什么。**
#
# A stored filter $f$ of size $d$ gives $s = \lceil d / 2 \rceil$ outputs, $y_i = (f \circ M_i) * x$, where the mask
# $M_i$ is 1 in the centre and 0 in the outer $i$ rings. With `delta` channels left out, a window slides over the
# channels as well (the authors' v2), and each crop gives several outputs.

# %%
layer = VersatileConv2D(6, 8, 3, padding=1, bias_attr=False, delta=1)
x = paddle.randn([2, 6, 13, 17])
centre = paddle.to_tensor(np.pad(np.ones((1, 1), np.float32), 1))
expected = []
for mask in (paddle.ones([3, 3]), centre):
    for first in (0, 1):  # channels 0 to 4, channels 1 to 5
        window = paddle.to_tensor([1.0 if first <= channel < first + 5 else 0.0 for channel in range(6)])
        expected.append(F.conv2d(x, layer.weight * mask * window.reshape([1, 6, 1, 1]), padding=1))
np.testing.assert_allclose(layer(x).numpy(), paddle.concat(expected, axis=1).numpy(), rtol=1e-4, atol=1e-5)
print(f"equal to the formula; {layer.weight.size} weights, a dense 3x3 kernel has {8 * 6 * 9}")

# %% [markdown]
# ## 3. A network of paddle.vision, trained, converted, fine-tuned
# **把训练好的 paddle.vision 网络转换，再微调。**
#
# `accelerate` lets Paddle's own layers run in this package's kernels; it changes no value. The stored filters become
# the least-squares fit to the dense ones, which is a start, not a trained network.

# %%
train, test = digits(train=True), digits(train=False)
dense = ppeffconv.accelerate(paddle.vision.models.resnet18(num_classes=10))
fit(dense, train)
net = ppeffconv.convert(dense, "versatile", input_shape=(3, 32, 32))
print(net.conversion)
print(f"accuracy after 1 epoch: dense {accuracy(dense, test):.3f}; just converted {accuracy(net, test):.3f}")

# %%
fine_tune(dense, net, train, test, epochs=2, lr=2e-3)
print(f"parameters: {count_parameters(net) / count_parameters(dense):.2f} of the dense network's")

# %% [markdown]
# ## 4. Deploy: are saved multiply-adds saved milliseconds?
# **部署：省下的乘加次数是否变成省下的毫秒？**
#
# The deploy form is one op for the whole network, equal to it up to rounding. In it the small filters are by-products
# of the large one. The digits are too small to tell anything about time, so that is taken on larger images.

# %%
fast = ppeffconv.deploy(net)
images = paddle.to_tensor(test[0][:8])
print(f"largest difference to the training form: {float((fast(images) - net(images)).abs().max()):.1e}")
fewer_macs, speed_up = compare(dense, net, "versatile filters, v1")

# %% [markdown]
# ## 5. The picture: nested filters and what they see
# **图：嵌套的滤波器与它们的响应。**
#
# Above, the blob detector's crops on the photograph. Below, filters of the trained network's first layer, the root of
# the mean square over input channels: the stored ones first, then those that are nested in them.

# %%
found = pictures(net, images)
panels = [("photograph", photo[:, :, None].repeat(3, axis=2))]
panels += [(f"{7 - 2 * i}x{7 - 2 * i} crop", response.abs().numpy()) for i, response in enumerate(responses)]
panels += [("a digit", test[0][0].transpose(1, 2, 0))]
names = [name for name in found if name.endswith("/filters")]
panels += [(name, found[name]) for name in (names[0], *names[1 :: max(1, len(names) // 3)])[:4]]
draw("versatile", panels, columns=5)
