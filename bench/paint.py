#!/usr/bin/env python3
"""How soon a browser shows the page, and how soon it opens a report of 1,000 records: the median
of some loads in headless Chromium, by its own clock.  Promised: a view's first paint within 200 ms,
the report within 1 s.

    paint.py BREAKEVEN [RECORDS.jsonl]     needs a machine on which nothing else runs, Debian's
                                           chromium, chromium-driver and python3-selenium

Without a file the records are those of one short bench, a thousand times with other seeds and
batches.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from selenium import webdriver

LOADS, RECORDS = 11, 1000
PAINT = ("return performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)"
         ".concat([performance.getEntriesByType('navigation')[0].loadEventEnd])")


def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
    return webdriver.Chrome(service=service, options=options)


def tell(driver, name, address):
    """Milliseconds until something is seen, and until all of it is loaded."""
    seen = []
    for _ in range(LOADS):
        driver.get(address)
        found = driver.execute_script(PAINT)
        while len(found) < 2 or not found[1]:
            found = driver.execute_script(PAINT)
        seen.append(found)
    paint, load = (statistics.median(each) for each in zip(*seen))
    print(f"{name}: first paint {paint:.0f} ms, loaded {load:.0f} ms")


def make_records(program, path):
    """As many different ones as are promised, in form like those of benches."""
    command = [program, "bench", "mlp-mnist", "--synthetic", "--limit=500", "--engine=native",
               "--device=cpu", "--max-time=1", "--no-store", "--format=jsonl"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    with open(path, "w", encoding="utf-8") as file:
        for i in range(RECORDS):
            record = {**measured[i % len(measured)], "seed": i, "batch": 1 + i // 20}
            record["samples_per_s"] = record["batch"] / record["step_s"]["median"]
            record["units_per_s"] = record["samples_per_s"]
            file.write(json.dumps(record) + "\n")
    return path


def main():
    program = os.path.abspath(sys.argv[1])
    driver = browser()
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_DATA_HOME": folder}
        server = subprocess.Popen([program, "serve", "--port", "0"], env=env, text=True,
                                  stdout=subprocess.PIPE)
        address = server.stdout.readline().strip()
        base = address[:address.index("/?")]
        driver.get(address)
        for path in ("/", "/try", "/breakeven", "/explain", "/runs"):
            tell(driver, path, base + path)
        server.terminate()
        server.wait()
        records = sys.argv[2] if len(sys.argv) > 2 else make_records(
            program, os.path.join(folder, "records.jsonl"))
        report = os.path.join(folder, "report.html")
        subprocess.run([program, "report", records, "-o", report], env=env, check=True)
        tell(driver, f"report of {os.path.getsize(report) / 1e6:.1f} MB", "file://" + report)
    driver.quit()


main()
