"""What was measured, as a notebook shows it.  Table, plot and advice are the program's own words on
the records (`breakeven report`); nothing is computed here."""
import json
import os
import re
import tempfile

from breakeven import program


class Plot:
    """A drawing; `svg` is its text."""

    def __init__(self, svg):
        self.svg = svg

    def _repr_svg_(self):
        return self.svg

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.svg)


class Result:
    """
    table    the rows side by side with their verdicts, in Markdown
    advice   sentences: what to train with
    records  a record for each contender: a pandas.DataFrame where pandas is installed (its columns
             have the names of the members, "step_s.median"), else a list of dicts
    raw      the records as dicts, whether pandas is there or not
    notes    what the program said while it measured
    plot()   the steps as bars, with their intervals, as SVG
    """

    def __init__(self, records, notes):
        self.raw, self.notes = records, notes
        self._made = {}

    def _report(self, kind):
        """`breakeven report` on the records, as "md" or "html"."""
        if kind not in self._made:
            with tempfile.TemporaryDirectory(prefix="breakeven-") as folder:
                source = os.path.join(folder, "result.jsonl")
                with open(source, "w", encoding="utf-8") as file:
                    file.writelines(json.dumps(record) + "\n" for record in self.raw)
                out = os.path.join(folder, "report." + kind)
                code, _, errors = program.run(["report", source, "-o", out, "--quiet"])
                if code:
                    raise program.Error(errors.strip() or "the report failed", code)
                with open(out, encoding="utf-8") as file:
                    self._made[kind] = file.read()
        return self._made[kind]

    def _paragraphs(self):
        """Of the run, from its first table on to what is told of the machine."""
        run = self._report("md").split("\n### ")[1:]
        return [part for part in run if not part.startswith("Machine and method")]

    @property
    def table(self):
        return "\n\n".join("### " + part.strip() for part in self._paragraphs())

    @property
    def advice(self):
        found = [line.partition("advice: ")[2] for part in self._paragraphs()
                 for line in part.splitlines() if line.startswith("advice: ")]
        return "\n".join(dict.fromkeys(found))

    @property
    def records(self):
        try:
            import pandas
        except ImportError:
            return self.raw
        return pandas.json_normalize(self.raw)

    def plot(self):
        page = self._report("html")
        style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
        figure = re.search(r"<figcaption>time of a step.*?(<svg.*?</svg>)", page, re.S)
        if figure is None:
            raise ValueError("expected at least two contenders with a time, found fewer: there is "
                             "nothing to hold against one another; see .table")
        head, rest = figure.group(1).split(">", 1)
        return Plot(f"{head}><style><![CDATA[{style}]]></style>{rest}")

    def __repr__(self):
        return self.table

    def _repr_markdown_(self):
        return self.table

    def _repr_html_(self):
        page = self._report("html").replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" style="width:100%;height:36rem;border:0"></iframe>'
