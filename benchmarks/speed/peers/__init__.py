"""The benchmark's peers: PyTorch, OpenVINO and onnxruntime, in an environment without Paddle; nothing of ours is there.

PyTorch's networks are written as one would write them in its eager mode: its own layers, and where there are several
spellings the one that measured fastest. Modules are named as in `ppeffconv.models`: weights can be carried over.
"""
