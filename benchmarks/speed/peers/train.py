"""A training step in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .networks import create_model
from .serve import Job


def prepare(network: str, size: int, batch: int, classes: int) -> Job:
    """Forward, cross entropy, backward, SGD with momentum and weight decay, on one random batch."""
    net = create_model(network, classes).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images, labels = torch.randn(batch, 3, size, size), torch.randint(classes, [batch])
    losses = []

    def step() -> None:
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    def facts() -> dict:
        parameters = sum(p.numel() for p in net.parameters())
        return {"parameters": parameters, "losses": losses, "version": f"PyTorch {torch.__version__}"}

    return Job(step, facts)
