// Before anything is drawn: light or dark, as the visitor chose or the system says.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("siamese-theme");
  } catch {
    // A page from a file may have no storage.
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen ?? (dark ? "dark" : "light");
})();
