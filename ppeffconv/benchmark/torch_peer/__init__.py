"""The benchmark's peer: the same networks in PyTorch, in an environment without Paddle; nothing outside is imported.

Written as one would write them in PyTorch's eager mode: its own layers, NCHW, and where there are several spellings
the one that measured fastest. Modules are named as in `ppeffconv.models`, so that weights can be carried over.
"""
