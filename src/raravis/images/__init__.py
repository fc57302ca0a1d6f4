"""Pictures: from a file to float32 arrays (C, H, W), and back to what can be shown.

A picture of 8 or 16 bits lies in [0, 1]; a thermal frame is in degrees Celsius.
"""
