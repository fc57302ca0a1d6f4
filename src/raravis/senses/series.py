"""Reading instruments: every row of a series is judged by what the rows before it let expect."""
