"""The mark and the icons of the page, as SVG."""

MARK = """<svg class="gv-mark" viewBox="0 0 32 32" aria-hidden="true">
<rect width="32" height="32" rx="8" fill="#05070d"/>
<circle cx="16" cy="16" r="11" fill="none" stroke="#ffd58a" stroke-width="1.3" stroke-dasharray="2 2.6"/>
<g fill="none" stroke="#9cc6ff" stroke-width="2" stroke-linecap="round">
<path d="M18.5 14c2.6 2.2 2 6.8-2.5 7.6-2.2.4-4.3-.4-5.6-1.7"/>
<path d="M13.5 18c-2.6-2.2-2-6.8 2.5-7.6 2.2-.4 4.3.4 5.6 1.7"/></g>
<path d="m13.5 18 5-4" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/></svg>"""
_PATHS = {
    "theme": '<circle cx="10" cy="10" r="6.5"/><path d="M10 3.5a6.5 6.5 0 0 1 0 13Z" fill="currentColor"/>',
    "plus": '<path d="M10 3.5v13M3.5 10h13"/>',
    "down": '<path d="M10 3v9m-4-3.6 4 4.1 4-4.1M3.5 16.5h13"/>',
    "copy": '<path d="M7 7h9.5v9.5H7zM4 13h-.5V3.5H13V4"/>',
    "link": '<path d="M8.5 11.5a3 3 0 0 0 4.3.2l3-3a3 3 0 0 0-4.3-4.3l-1 1"/>'
    '<path d="M11.5 8.5a3 3 0 0 0-4.3-.2l-3 3a3 3 0 0 0 4.3 4.3l1-1"/>',
    "pair": '<path d="M3 4.5h6v11H3zM11 4.5h6v11h-6z"/>',
    "warn": '<path d="M10 2.5 18.5 17h-17ZM10 8v4.2M10 14v1.4"/>',
    "ok": '<circle cx="10" cy="10" r="8"/><path d="m6.5 10.2 2.4 2.4 4.6-5"/>',
    "back": '<path d="M16.5 10h-13m5-5-5 5 5 5"/>',
}


def icon(name: str) -> str:
    """Return an icon that takes the colour and the size of the text around it; it says nothing to screen readers."""
    return f'<svg class="gv-icon" viewBox="0 0 20 20" aria-hidden="true">{_PATHS[name]}</svg>'
