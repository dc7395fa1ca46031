"""The programs that come with the package, `ppeffconv-train` and its like; in a checkout tools/ has them as scripts."""
