// Runs before the first paint, so that no one who chose dark sees a flash of light.
(() => {
  try {
    const theme = localStorage.getItem("nodeyard.theme");
    if (theme === "light" || theme === "dark") {
      document.documentElement.dataset["theme"] = theme;
    }
  } catch {
    // Without storage the system's scheme serves.
  }
})();
