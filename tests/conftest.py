"""What all tests need."""

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of the
# terminal; every process they start inherits that, and several tests send these signals.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
