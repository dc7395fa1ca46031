"""The results on Fashion-MNIST: from the folders of runs to records, weights, milliseconds, tables and figures.

`papers` counts what the papers count; `depth_report` and `depth_pictures` are the results of depth upsampling.
"""
