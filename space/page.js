// Drop and paste anywhere, words that show their map, a table that sorts: all in the browser, nothing is fetched.
(() => {
  const offer = (files) => {
    const input = document.querySelector('#gv-upload input[type=file], input#gv-upload, #gv-upload + input[type=file]') ||
      document.querySelector('#gv-upload')?.parentElement?.querySelector('input[type=file]');
    if (!input || !files?.length) return;
    const one = new DataTransfer();
    one.items.add(files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  };
  const oneGalaxy = () => document.querySelector('#gv-upload')?.offsetParent !== null;
  document.addEventListener('dragover', (e) => {
    if (!oneGalaxy() || ![...e.dataTransfer.types].includes('Files')) return;
    e.preventDefault();
    document.body.classList.add('gv-dragging');
  });
  document.addEventListener('dragleave', (e) => { if (!e.relatedTarget) document.body.classList.remove('gv-dragging'); });
  document.addEventListener('drop', (e) => {
    document.body.classList.remove('gv-dragging');
    if (!oneGalaxy() || !e.dataTransfer.files.length) return;
    e.preventDefault();
    offer(e.dataTransfer.files);
  });
  document.addEventListener('paste', (e) => { if (oneGalaxy() && e.clipboardData.files.length) offer(e.clipboardData.files); });

  const showWord = (button) => {
    const map = document.querySelector('#gv-viewer .gv-map');
    const caption = map?.closest('figure').querySelector('figcaption');
    if (!map) return;
    const on = button.getAttribute('aria-pressed') !== 'true';
    document.querySelectorAll('.gv-word').forEach((word) => word.setAttribute('aria-pressed', 'false'));
    button.setAttribute('aria-pressed', String(on));
    map.src = on ? button.dataset.map : map.dataset.home;
    if (!map.dataset.alt) map.dataset.alt = map.alt;
    map.alt = on ? `Map of what speaks for ${button.dataset.word}` : map.dataset.alt;
    if (on) {
      caption.innerHTML = 'evidence for <b></b> <small></small>';
      caption.querySelector('b').textContent = button.dataset.word;
      caption.querySelector('small').textContent = `of the ${button.dataset.model}`;
    } else caption.innerHTML = caption.dataset.home;
  };
  const sortBy = (button) => {
    const head = button.closest('th'), table = head.closest('table'), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute('aria-sort') !== 'ascending';
    const key = (row) => { const cell = row.cells[column]; return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value); };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1; // rows without a number stay last
      const order = typeof x === 'number' ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return up ? order : -order;
    });
    table.querySelectorAll('th[aria-sort]').forEach((cell) => cell.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    body.append(...rows);
  };
  document.addEventListener('click', (e) => {
    const word = e.target.closest?.('.gv-word'), sort = e.target.closest?.('.gv-sort');
    if (word) showWord(word);
    if (sort) sortBy(sort);
  });
})();
