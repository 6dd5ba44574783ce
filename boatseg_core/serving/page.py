"""The page a person sees who opens the service in a browser."""

from __future__ import annotations

from html import escape

from boatseg_core.serving.watcher import Loaded

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>boatseg</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem;
  color: #1b2733; background: #fff }}
pre {{ background: #f2f5f7; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px }}
a {{ color: #0a6ebd }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #dbe4ec; background: #12181e }} pre {{ background: #1d262e }}
  a {{ color: #6cb8f0 }} }}
</style></head><body>
<h1>boatseg</h1>
<p>{state}</p>
<h2>Ask for a prediction</h2>
<p>POST a picture, and get every {thing} with its box and area in pixels, its run lengths, and its
score, the probability that it is a true one:</p>
<pre>curl -H "Content-Type: image/jpeg" --data-binary @picture.jpg {url}predict</pre>
<p>With <code>?mask=true</code> the answer also holds a mask picture. JSON does as well:</p>
<pre>curl --json '{{"image": "&lt;base64&gt;", "mask": true}}' {url}predict</pre>
<h2>For machines</h2>
<p><a href="openapi.json">openapi.json</a>, <a href="readyz">readyz</a>,
<a href="livez">livez</a>, <a href="metrics">metrics</a></p>
</body></html>
"""


def render(current: Loaded | None, error: str, url: str) -> str:
    """Render the page.

    Args:
        current: The model in force, if any.
        error: What is wrong, if anything.
        url: Address of the service, with a slash at its end.
    """
    if current is None:
        state, thing = f"<strong>Not ready.</strong> {escape(error)}", "object"
    else:
        spec = current.predictor.spec
        state = (
            f"Serving <strong>{escape(current.ref.name)} version {current.ref.version}</strong> "
            f"({escape(spec.architecture)}, {escape(spec.encoder)})."
        )
        state += f" <strong>Attention:</strong> {escape(error)}" if error else ""
        thing = escape(spec.class_name)
    return _PAGE.format(state=state, thing=thing, url=escape(url))
