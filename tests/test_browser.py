"""The page in a real browser: Chromium, headless.  Skipped where it is missing; what can be seen
without one is looked at in any case.

BREAKEVEN_SCREENSHOTS: a folder that gets a picture of each view.
"""
import gzip
import os
import re
import shutil
import unittest

from cli_support import FolderTest
from serve_support import LIMIT_S, fake_server

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = None

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTHS = (380, 1024, 1920)


class Plain(FolderTest):
    def test_every_field_has_a_name_for_those_who_do_not_see_it(self):
        server = fake_server(self.folder)
        try:
            for path in ("/try", "/breakeven", "/explain", "/runs"):
                page = server.get(path)
                for field in re.findall(r"<(?:input|select)[^>]*>", page):
                    before = page[:page.index(field)]
                    labelled = before.rfind("<label") > before.rfind("</label")
                    named = "aria-label" in field or labelled
                    self.assertTrue(named, field)
                self.assertEqual(page.count("<h1>"), 1)
                self.assertIn("aria-current=page", page)
        finally:
            server.end()
            server.process.stdout.close()
            server.process.stderr.close()


@unittest.skipIf(webdriver is None or not CHROMIUM or not DRIVER,
                 "there is no chromium with chromium-driver and python3-selenium")
class Browser(FolderTest):
    @classmethod
    def setUpClass(cls):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                     "--disable-dev-shm-usage", "--force-prefers-reduced-motion"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.chrome.service.Service(DRIVER)
        cls.driver = webdriver.Chrome(service=service, options=options)
        cls.driver.set_page_load_timeout(LIMIT_S)

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()

    def setUp(self):
        super().setUp()
        self.server = fake_server(self.folder)
        self.addCleanup(self.server.process.stderr.close)
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.end)
        self.base = f"http://{self.server.host}:{self.server.port}"
        self.driver.get(self.server.address)
        self.until(lambda: "token" not in self.driver.current_url)
        self.width(1024)

    def tearDown(self):
        # No script or style was refused, none failed.
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        self.assertEqual([m for m in messages if "Failed to load resource" not in m], [])

    def until(self, true):
        """Wait for what the page shows in the end, whatever else the machine does."""
        return WebDriverWait(self.driver, LIMIT_S, 0.05,
                             ignored_exceptions=(Exception,)).until(lambda _: true())

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def go(self, path):
        self.driver.get(self.base + path)

    def width(self, pixels):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 500})

    def text(self):
        return self.find("#panel").text

    def state(self):
        return self.find("#panel h2 .state").text

    def picture(self, name):
        folder = os.environ.get("BREAKEVEN_SCREENSHOTS")
        if not folder:
            return
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        for scheme in ("light", "dark"):
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
                "features": [{"name": "prefers-color-scheme", "value": scheme}]})
            for pixels in WIDTHS:
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
                    "width": pixels, "height": min(max(height, 900), 4000), "deviceScaleFactor": 1,
                    "mobile": pixels < 500})
                self.driver.save_screenshot(os.path.join(folder, f"{name}-{pixels}-{scheme}.png"))
        self.width(1024)

    def slide(self, name, keys):
        slider = self.find(f"input[data-for={name}]")
        for key in keys:
            slider.send_keys(key)
        return self.find(f"#{name}").get_attribute("value")

    def test_a_training_from_the_sliders_to_the_report(self):
        self.go("/try")
        self.find("option:nth-of-type(2)").click()
        self.assertEqual(self.slide("epochs", [Keys.END]), "100")
        self.find("#epochs").send_keys("0")  # 1000: it goes on until it is stopped
        self.find("input[value=cpu]").click()
        self.find("#start").click()
        # The curve grows.
        self.until(lambda: len(self.find("#panel .curves path.line").get_attribute("d")) > 0)
        before = len(self.find("#panel .curves path.line").get_attribute("d"))
        self.until(lambda: len(self.find("#panel .curves path.line").get_attribute("d")) > before)
        self.assertIn("pictures/s", self.text())
        self.assertIn("epochs=1000", self.driver.current_url)
        self.assertIn("device=cpu", self.driver.current_url)
        self.assertIn("job=2", self.driver.current_url)
        self.picture("try-running")
        self.find("#stop").click()
        self.until(lambda: self.state() == "stopped")
        self.assertFalse(self.find("#stop").is_displayed())
        # The same view again, with all its settings, from the address alone.
        self.driver.refresh()
        self.assertEqual(self.find("#epochs").get_attribute("value"), "1000")
        self.assertTrue(self.find("input[value=cpu]").is_selected())
        self.until(lambda: self.state() == "stopped")

    def test_runs_are_found_compared_and_reported(self):
        for _ in range(2):
            job = self.server.study(study="try", device=["cpu", "opencl:0"], epochs=2)
            self.server.wait(job)
        self.go(f"/try?job={job}")
        self.until(lambda: self.state() == "done")
        self.assertIn("why:", self.text())
        self.picture("try-done")
        self.go("/runs")
        self.find("input[name=workload]").send_keys("mlp-mnist", Keys.ENTER)
        self.until(lambda: "workload=mlp-mnist" in self.driver.current_url)
        self.picture("runs")
        rows = self.driver.find_elements(By.CSS_SELECTOR, "tbody tr")
        measured = [row for row in rows if "native" in row.text]
        self.assertEqual(len(measured), 2)
        for row in measured:
            row.find_element(By.CSS_SELECTOR, "input").click()
        self.find("form[action='/compare'] button").click()
        self.until(lambda: "Runs side by side" in self.find("h1").text)
        self.assertIn("mlp-mnist", self.find("main").text)
        self.picture("compare")
        self.driver.back()
        self.driver.find_element(By.CSS_SELECTOR, "tbody a").click()
        self.until(lambda: self.find("h1").text.startswith("Run "))
        self.picture("run")
        self.find("#note input").send_keys("<img src=x onerror=alert(1)>", Keys.ENTER)
        self.until(lambda: "<img src=x" in self.find(".note").text)
        self.driver.find_element(By.LINK_TEXT, "report").click()
        self.until(lambda: "/report" in self.driver.current_url and self.find("h1"))
        self.picture("report")

    def test_a_break_even_grows_and_its_step_is_explained(self):
        self.go("/breakeven?workload=mlp-mnist&from=1&to=64&engine=native&synthetic=1")
        self.assertEqual(self.find("#to").get_attribute("value"), "64")
        self.find("#start").click()
        self.until(lambda: self.state() == "done")
        self.assertTrue(self.driver.find_elements(By.CSS_SELECTOR, "#panel figure svg"))
        self.picture("breakeven")
        self.go("/explain?workload=mlp-mnist&device=cpu")
        self.find("#start").click()
        self.until(lambda: self.state() == "done")
        self.assertTrue(self.driver.find_elements(By.CSS_SELECTOR, "#panel figure svg rect"))
        self.picture("explain")

    def test_with_the_keyboard_alone(self):
        self.go("/try?epochs=1000")
        active = self.driver.switch_to.active_element
        seen = []
        for _ in range(60):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            active = self.driver.switch_to.active_element
            seen.append(active.get_attribute("name") or active.get_attribute("id") or active.text)
            outline = active.value_of_css_property("outline-style")
            self.assertNotEqual(outline, "none", seen)
            if active.get_attribute("value") == "cpu":
                active.send_keys(Keys.SPACE)
            if active.get_attribute("id") == "start":
                active.send_keys(Keys.ENTER)
                break
        self.assertEqual(seen[0], "to the content")
        for name in ("workload", "batch", "epochs", "rate", "precision", "device", "engine"):
            self.assertIn(name, seen)
        self.until(lambda: self.state() == "running")
        self.until(lambda: self.find("#stop").is_displayed())
        self.find("#start").send_keys(Keys.TAB)
        self.assertEqual(self.driver.switch_to.active_element.get_attribute("id"), "stop")
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until(lambda: self.state() == "stopped")

    def test_runs_with_the_keyboard_alone(self):
        for _ in range(2):
            self.server.wait(self.server.study(study="explain", device="cpu"))
        self.go("/runs")
        marked = 0
        for _ in range(60):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            active = self.driver.switch_to.active_element
            if active.get_attribute("name") == "run":
                active.send_keys(Keys.SPACE)
                marked += 1
            if active.text == "Compare the marked":
                active.send_keys(Keys.ENTER)
                break
        self.assertEqual(marked, 2)
        self.until(lambda: "Runs side by side" in self.find("h1").text)
        self.go("/report?run=1")
        # A fold opens by a key, and a table that is too wide scrolls by one.
        for _ in range(60):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            active = self.driver.switch_to.active_element
            if active.tag_name == "summary":
                active.send_keys(Keys.ENTER)
                break
        self.until(lambda: self.find("details").get_attribute("open") is not None)
        self.assertEqual(self.find("div.scroll").get_attribute("tabindex"), "0")

    def test_the_records_of_a_report_are_saved(self):
        self.server.wait(self.server.study(study="explain", device="cpu"))
        folder = self.path("saved")
        os.mkdir(folder)
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior",
                                    {"behavior": "allow", "downloadPath": folder})
        self.go("/report?run=1")
        self.find("a[download]").click()
        self.until(lambda: os.listdir(folder) == ["breakeven.jsonl.gz"])
        with gzip.open(os.path.join(folder, "breakeven.jsonl.gz"), "rt", encoding="utf-8") as file:
            self.assertEqual(file.read(), self.server.ask("/api/runs/1/records")[2])

    def test_the_first_paint_waits_for_little(self):
        """For the view itself and its style, each sent whole at once; the script comes after.  How
        long that takes is for bench/paint.py, on a machine with nothing else to do."""
        for path in ("/", "/try", "/breakeven", "/explain", "/runs"):
            self.go(path)
            loaded = self.driver.execute_script(
                "return performance.getEntriesByType('resource').map(each => "
                "[new URL(each.name).pathname, each.renderBlockingStatus])")
            blocking = [name for name, status in loaded if status == "blocking"]
            self.assertEqual(blocking, ["/style.css"], loaded)
            self.assertLessEqual({name for name, _ in loaded},
                                 {"/style.css", "/page.js", "/icon.svg", "/events"})
            jumps = self.driver.execute_script(
                "return performance.getEntriesByType('navigation')[0].redirectCount")
            self.assertEqual(jumps, 0)

    def test_what_was_asked_wrongly_is_said(self):
        self.go("/breakeven?from=64&to=8")
        self.find("#start").click()
        self.until(lambda: "expected a smaller number" in self.find("#status").text)

    def test_every_width(self):
        job = self.server.study(study="try", device=["cpu", "opencl:0"], epochs=2)
        self.server.wait(job)
        for pixels in WIDTHS:
            self.width(pixels)
            for path in ("/", f"/try?job={job}", "/breakeven", "/explain", "/runs", "/runs/1"):
                self.go(path)
                wide = self.driver.execute_script("return document.documentElement.scrollWidth")
                self.assertLessEqual(wide, pixels, path)
        self.go("/")
        self.picture("machine")


if __name__ == "__main__":
    unittest.main()
