"""One file for each published table: `run(...)` measures it anew and returns its rows."""
