"""The results on Fashion-MNIST: from the folders of runs to records, weights, milliseconds, tables and figures."""
