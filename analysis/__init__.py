"""Analysis: from a table of losses to laws and figures; needs no torch.

A number goes one way, and the modules are best read along it::

    records     files -> checked rows          (reading: one file; table: what a row is;
                                               accounting: C = 6 N D; checks: values)
    envelope    rows -> the points of the laws
    laws        points -> law, with its errors
    study       rows -> all laws, hold-out, laws.json
    render      study -> text                  (pdg: value and error rounded)
    figures     study -> tables and files      (drawing, axes: how they look)

`reference` holds ScaMo's published points, which go the same way.
"""
