"""What the page costs, in the processor's time: what else the machine does is not the page's doing."""

from playwright.async_api import CDPSession, Page

FRAME_MS = 1000 / 60


async def metered(page: Page) -> CDPSession:
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    return devtools


async def busy_ms(devtools: CDPSession) -> float:
    """Since `metered`."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "TaskDuration") * 1000


async def frame_ms(page: Page, scroll: str, frames: int) -> float:
    """The cost of one of so many frames of `scroll`, a function of their number, after ten to warm up."""
    devtools = await metered(page)
    await page.evaluate(scroll, 10)
    before = await busy_ms(devtools)
    await page.evaluate(scroll, frames)
    return (await busy_ms(devtools) - before) / frames
