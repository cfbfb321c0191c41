"""Scripts that run in interpreters of their own, which need not have nfcompile: see worker.py."""
