#!/usr/bin/env python3
"""How soon a browser shows the page, and how soon it opens a report of 1,000 records: the median
of some loads in headless Chromium, by its own clock.  Promised: a view's first paint within 200 ms,
the report within 1 s.

    paint.py BREAKEVEN [RECORDS.jsonl]     needs a machine on which nothing else runs, Debian's
                                           chromium, chromium-driver and python3-selenium
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from selenium import webdriver

LOADS = 11
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


def main():
    program = sys.argv[1]
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
        if len(sys.argv) > 2:
            report = os.path.join(folder, "report.html")
            subprocess.run([program, "report", sys.argv[2], "-o", report], env=env, check=True)
            tell(driver, f"report of {os.path.getsize(report) / 1e6:.1f} MB", "file://" + report)
    driver.quit()


main()
