"""Analysis: from a table of losses to laws, predictions and figures; needs no torch.

A number goes one way, and the modules are best read along it::

    records       files -> checked rows       (reading, checks, accounting, table)
    envelope      rows -> the points of the laws of compute
    laws          points -> a line in log compute, with its errors
    study         rows -> all laws of the envelope, hold-out     (render: as text)

and for one law fitted to all rows::

    expression    text -> formula -> a law as functions of arrays     (catalogue: laws)
    sample        records -> the rows that count
    objective     residuals -> what is minimised
    starts        rows -> where to begin
    solver        starts -> minima, many at once
    fitting       law, rows, objective -> a fit with its certificate
    sandwich      fit -> scatter by runs -> intervals      (bootstrap, scatter)
    profiles      fit -> what the data leave open -> identify, sensitivity    (rise)
    holdout       fit -> error on dearer runs -> selection
    allocation    fit, budget -> best sizes -> prediction -> buildable -> verify_grid
    nextruns      fit, budget -> what to train next
    arms          two sets of rows -> a multiplier
    card          fit -> all that it should be judged by   (render_fit: as text)
    laws_file     a file of laws -> predictions            (lines: of the envelope)
    freezing      laws, budget -> a prediction with intervals, frozen in a file
    verification  that file, and what came of it           (outcome: the comparison)

`isoflop` (minimum, parabola), `isoloss` and `vocabulary` answer without one law for all
rows; `approaches` sets them beside it. `reference` holds ScaMo's published points,
and `audit` lays the paper's claims beside them (audit_*: its parts);
`measures` lets a score of generated motion stand for the loss.

All of it is seen through figures, and read on one page::

    material      sources -> records, laws, predictions, each when it is asked for
    outlook       laws -> predictions over budgets -> verdict: what to train next
    *_figure      the numbers of one figure, and its caption  (*_drawing: how it looks)
    histories     run stores -> all evaluations, trunks too: what learning curves need
    tested        a study's verifications, in words and rows
    figure        what every figure is, and its files     (axes, drawing: the style)
    tables        the paper's tables 3 to 6
    gallery       material -> every figure and table that it allows
    report        gallery, verdict, motions -> one page   (report_*: its parts)
    render_html   results -> tables in a notebook

Motion is seen through `player` (a page) and `stick` (a GIF, a strip).
"""
