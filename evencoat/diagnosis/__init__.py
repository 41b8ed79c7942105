"""What is wrong with a line, and where: named from what the control process tells, with a probability and the evidence.

`watch` is the pure core (numpy alone); `catalogue` has the words; `service` runs it beside the page, `replay` over a
journal; `trials` plays faults on drawn lines and judges what was named. docs/diagnosis.md.
"""
