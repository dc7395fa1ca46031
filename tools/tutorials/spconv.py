# %% [markdown]
# # SPConv: 3x3 on a part of the channels, 1x1 on the rest
# **SPConv：只对一部分通道做 3x3 卷积，其余做 1x1。**
#
# Zhang et al., *Split to Be Slim*, IJCAI 2020. Run it as a script, `python tools/tutorials/spconv.py`, or cell by cell
# in VS Code or Jupyter. Nothing is downloaded, and it takes a minute or two on two CPU cores.

# %%
import numpy as np
import paddle
import paddle.nn.functional as F
from common import accuracy, compare, digits, draw, fine_tune, fit

import ppeffconv
from ppeffconv.layers import SPConv2D

# %% [markdown]
# ## 1. The idea: features repeat each other
# **想法：特征之间高度冗余。**
#
# Train a dense ResNet-18 of paddle.vision on handwritten digits, take the features of its first stage, and predict one
# half of the channels from the other half by a linear map per pixel, which is a 1x1 convolution: how much of their
# variance does that explain? What can be predicted need not be computed by 3x3 convolutions.

# %%
train, test = digits(train=True), digits(train=False)
dense = ppeffconv.accelerate(paddle.vision.models.resnet18(num_classes=10))
fit(dense, train)

# %%
images = paddle.to_tensor(test[0][:64])
with paddle.no_grad():
    features = dense.layer1[0](dense.maxpool(F.relu(dense.bn1(dense.conv1(images)))))
pixels = features.transpose([0, 2, 3, 1]).reshape([-1, 64]).numpy().astype(np.float64)
pixels -= pixels.mean(axis=0)
known, wanted = pixels[:, :32], pixels[:, 32:]
rest = wanted - known @ np.linalg.lstsq(known, wanted, rcond=None)[0]
print(f"{len(pixels)} pixels: half of the channels explains {1 - rest.var() / wanted.var():.3f} of the other half")

# %% [markdown]
# ## 2. What the layer computes
# **这一层计算什么。**
#
# The first `ratio` of the channels, $x_3$, gets a 3x3 convolution in two groups and a 1x1, the rest, $x_1$, a 1x1 only.
# Both parts have all output channels and a BatchNorm of their own; a softmax over their means decides, for every image
# and channel, how much of each goes into the sum:
# $$U_3 = BN(W_g x_3 + W_p x_3),\quad U_1 = BN(W_1 x_1),\quad
# (\beta_3, \beta_1) = \mathrm{softmax}(\overline{U_3}, \overline{U_1}),\quad y = \beta_3 U_3 + \beta_1 U_1$$
# At stride 2 the 1x1 convolutions see 2x2 averages.

# %%
layer = SPConv2D(8, 12, ratio=0.5)
x = paddle.randn([2, 8, 13, 17])
got = layer(x)


def normalise(u):
    centred = u - u.mean([0, 2, 3], keepdim=True)
    return centred / (centred.square().mean([0, 2, 3], keepdim=True) + 1e-5).sqrt()


x3, x1 = x[:, :4], x[:, 4:]
u3 = normalise(F.conv2d(x3, layer.gwc.weight, padding=1, groups=2) + F.conv2d(x3, layer.pwc.weight))
u1 = normalise(F.conv2d(x1, layer.conv1x1.weight, layer.conv1x1.bias))
# after normalisation over the batch each channel's mean is 0 over all images, not over a single one
beta = F.softmax(paddle.stack([u3.mean([2, 3], keepdim=True), u1.mean([2, 3], keepdim=True)]), axis=0)
np.testing.assert_allclose(got.numpy(), (beta[0] * u3 + beta[1] * u1).numpy(), rtol=1e-3, atol=1e-4)
weights = sum(conv.weight.size for conv in (layer.gwc, layer.pwc, layer.conv1x1))
print(f"equal to the formula; {weights} weights, a dense 3x3 kernel has {12 * 8 * 9}")

# %% [markdown]
# ## 3. Convert the trained network and fine-tune it
# **转换训练好的网络并微调。**
#
# The grouped convolution takes the blocks of the dense weight that lie on its diagonal, the 1x1 convolutions its centre
# taps; the report says which share of the squared weights that is.

# %%
net = ppeffconv.convert(dense, "spconv", ratio=0.5, input_shape=(3, 32, 32))
print(net.conversion)
print(f"accuracy after 1 epoch: dense {accuracy(dense, test):.3f}; just converted {accuracy(net, test):.3f}")

# %%
fine_tune(dense, net, train, test, epochs=2)

# %% [markdown]
# ## 4. Deploy: are saved multiply-adds saved milliseconds?
# **部署：省下的乘加次数是否变成省下的毫秒？**
#
# The deploy form is one op for the whole network, equal to it up to rounding. The digits are too small to tell anything
# about time, so that is taken on larger images.

# %%
fast = ppeffconv.deploy(net)
print(f"largest difference to the training form: {float((fast(images) - net(images)).abs().max()):.1e}")
fewer_macs, speed_up = compare(dense, net, "SPConv, ratio 0.5")

# %% [markdown]
# ## 5. The picture: which part is listened to
# **图：两部分的门控权重。**
#
# The gate $\beta_3$ of a layer for every channel, averaged over the test digits of each class: above 1/2 the 3x3 part
# counts for more. Then, for one digit, both parts of the channel with the largest and of that with the smallest gate.

# %%
site, parts = net.layer2[0].conv2, {}
hooks = [
    norm.register_forward_post_hook(lambda _, __, u, part=part: parts.update({part: u}))
    for part, norm in (("3x3", site.bn1), ("1x1", site.bn2))
]


def gates(x):
    """[N, C]: of each image and channel, with what both parts give left in `parts`."""
    with paddle.no_grad():
        net(paddle.to_tensor(x))
    return F.sigmoid(parts["3x3"].mean([2, 3]) - parts["1x1"].mean([2, 3])).numpy()  # a softmax over two


of_test = gates(test[0])
of_classes = np.stack([of_test[test[1] == label].mean(axis=0) for label in np.unique(test[1])])
digit = test[0][:1].repeat(4, axis=2).repeat(4, axis=3)
(gate,) = gates(digit)
for hook in hooks:
    hook.remove()
panels = [("a digit", digit[0].transpose(1, 2, 0)), (f"gates by class, mean {of_test.mean():.2f}", of_classes)]
for channel in (int(gate.argmax()), int(gate.argmin())):
    panels += [
        (f"channel {channel}, {part}, gate {share:.2f}", parts[part][0, channel].numpy())
        for part, share in (("3x3", gate[channel]), ("1x1", 1 - gate[channel]))
    ]
draw("spconv", panels, columns=3)
