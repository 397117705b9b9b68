"""Speed of fastrnn beside other libraries, in one interleaved run: ``python -m bench.cpu``. See bench/README.md."""

import os

# A setting that some images carry to keep NumPy's BLAS off wide vectors: it would slow NumPy, and with it whatever a
# peer does through NumPy. It is read when the library is loaded, hence here, before the first `import numpy`.
os.environ.pop("OPENBLAS_CORETYPE", None)
# Its products are compared on one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
