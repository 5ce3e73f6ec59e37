"""The monitor DAG: is the stream running, is it complete; brings back what is missing, and tells people."""
