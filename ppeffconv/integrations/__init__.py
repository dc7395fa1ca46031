"""Adapters to PaddleDetection and PaddleSeg as users install them, and the fixes that these need."""
