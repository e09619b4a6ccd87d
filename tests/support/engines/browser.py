"""MLflow's pages in Debian's Chromium, used as a person uses them; nothing outside this machine can be reached.

python tests/support/engines/browser.py URL FILE   a picture of the first two runs' AP by epoch; from `make ui`
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
PATIENCE = 120  # seconds until a page shows what is waited for
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
# What MLflow 3.17 itself complains of: it asks every server who the user is, and some of its parts are old.
MLFLOWS_OWN = ("users/current", "AG Grid", "WebGL")


class Pages:
    """MLflow's pages in a browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, css: str, text: str = "") -> WebElement:
        """Waits for an element that is seen and has just this text, where one is given."""

        def seen(driver: webdriver.Chrome) -> WebElement | None:
            for element in driver.find_elements(By.CSS_SELECTOR, css):
                with contextlib.suppress(Exception):  # drawn anew meanwhile
                    if element.is_displayed() and text in ("", element.text.strip()):
                        return element
            return None

        return WebDriverWait(self.driver, PATIENCE).until(seen, f"no {css} {text!r} at {self.driver.current_url}")

    def text(self, css: str = "body") -> str:
        return self.find(css).text

    def wait_for_text(self, text: str) -> None:
        WebDriverWait(self.driver, PATIENCE).until(lambda _: text in self.text(), f"{text!r} is not on the page")

    def search(self, condition: str) -> None:
        """Types a condition into the search above the list of runs."""
        box = self.find("input[placeholder^='metrics']")
        box.send_keys(condition, Keys.ENTER)

    def load_more(self) -> None:
        """Asks for the runs beyond the first hundred."""
        self.driver.execute_script("document.querySelector('.ag-body-viewport').scrollTop = 1e6")
        self.find("button", "Load more").click()

    def runs(self) -> list[str]:
        """The names of the runs in the list, as far as it is shown."""
        rows = self.driver.find_elements(By.CSS_SELECTOR, ".ag-pinned-left-cols-container [role=row] a")
        return [row.text for row in rows]

    def choose(self, count: int) -> list[str]:
        """Ticks the first runs of the list; returns their names as they are shown."""
        for place in range(count):
            row = self.find(f".ag-pinned-left-cols-container [role=row][row-index='{place}']")
            row.find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()  # a drawn box covers it
        return self.runs()[:count]

    def compare(self, metric: str) -> None:
        """Compares the ticked runs and opens the chart of one metric."""
        self.find("button", "Compare").click()
        self.wait_for_text("Comparing ")
        link = self.find("a", metric)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
        link.click()

    def lines(self) -> list[dict[str, Any]]:
        """Waits for a chart; returns its lines: name, x, y, color, and width and height on the screen in pixels.

        MLflow draws each twice, the second time pale and below a smoothed one, which is left out.
        """
        self.find(".js-plotly-plot .scatterlayer path.js-line")
        return list(
            self.driver.execute_script(
                """
                const chart = document.querySelector(".js-plotly-plot");
                const drawn = [...chart.querySelectorAll(".scatterlayer path.js-line")];
                const lines = chart.data.map((line, place) => {
                    const {width, height} = drawn[place].getBoundingClientRect();
                    const {stroke: color, strokeOpacity: opacity} = getComputedStyle(drawn[place]);
                    return {name: line.name, x: [...line.x], y: [...line.y], width, height, color, opacity};
                });
                return lines.filter(line => line.opacity == 1);
                """
            )
        )

    def make_room(self) -> None:
        """Closes the panes at both sides."""
        self.find("button[aria-label='Close']").click()
        self.find("button[aria-label='Toggle sidebar']").click()

    def picture(self) -> bytes:
        """What is seen, as a PNG file, less the buttons of a chart that was under the mouse."""
        self.driver.execute_script("document.querySelectorAll('.modebar-container').forEach(each => each.remove())")
        return bytes(self.driver.get_screenshot_as_png())

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the last call, but for MLflow's own."""
        told = [f"{entry['level']} {entry['message']}" for entry in self.driver.get_log("browser")]
        return [line for line in told if not any(word in line for word in MLFLOWS_OWN)]


@contextlib.contextmanager
def browser(width: int = 1440, height: int = 1000, scale: float = 1.0) -> Iterator[Pages]:
    """Yields the pages in a window of this size, in CSS pixels, of which a picture has `scale` of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--window-size={width},{height}", f"--force-device-scale-factor={scale}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Pages(driver)
    finally:
        driver.quit()


def main() -> None:
    url, file = sys.argv[1:]
    with browser(height=930, scale=8 / 9) as pages:
        pages.open(url)
        pages.choose(2)
        pages.make_room()
        pages.compare("bbox/AP")
        pages.lines()
        Path(file).write_bytes(pages.picture())


if __name__ == "__main__":
    main()
