// Runs before the first paint, so that a dark screen does not flash white.
(function () {
  let scheme = 'auto';
  try {
    scheme = localStorage.getItem('helix-color-scheme') || 'auto';
  } catch {
    // Storage is switched off: follow the system.
  }
  if (scheme !== 'light' && scheme !== 'dark') {
    scheme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }
  document.documentElement.setAttribute('data-mantine-color-scheme', scheme);
})();
