// The table of many: facets and words that filter, heads that sort.
(() => {
  const { ask, $, $$ } = window.galaxyVision;
  const sift = () => {
    const facet = $('.gv-facet[aria-pressed=true]')?.dataset.facet.replaceAll(' ', '_') ?? 'all';
    const words = $('.gv-search')?.value.trim().toLowerCase() ?? '';
    const rows = $$('.gv-table tbody tr');
    rows.forEach((row) => {
      const inFacet = facet === 'all' || row.dataset.facets.split(' ').includes(facet);
      row.hidden = !inFacet || !row.textContent.toLowerCase().includes(words);
    });
    $('.gv-none').hidden = rows.some((row) => !row.hidden);
  };
  const choose = (button) => {
    $$('.gv-facet').forEach((facet) => facet.setAttribute('aria-pressed', String(facet === button)));
    sift();
  };
  const sortBy = (button) => {
    const head = button.closest('th'),
      table = head.closest('table'),
      body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const isNumber = [...body.rows].some((row) => row.cells[column]?.dataset.value !== undefined);
    const first = isNumber ? 'descending' : 'ascending';
    const order = head.getAttribute('aria-sort') === first ? (isNumber ? 'ascending' : 'descending') : first;
    const sign = order === 'ascending' ? 1 : -1;
    const failed = (row) => row.matches('.gv-failed');
    const number = (row) => Number(row.cells[column]?.dataset.value ?? NaN);
    const text = (row) => row.cells[column]?.textContent ?? '';
    const rows = [...body.rows].sort((a, b) => {
      if (failed(a) !== failed(b)) return failed(a) ? 1 : -1; // rows without numbers stay last
      return sign * (isNumber ? number(a) - number(b) : text(a).localeCompare(text(b), undefined, { numeric: true }));
    });
    $$('th[aria-sort]', table).forEach((cell) => cell.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', order);
    body.append(...rows);
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('button');
    if (!button) return;
    if (button.matches('.gv-facet')) choose(button);
    if (button.matches('.gv-sort')) sortBy(button);
    if (button.matches('.gv-all-rows')) {
      $('.gv-search').value = '';
      choose($('.gv-facet[data-facet=all]'));
    }
    if (button.matches('.gv-csv')) ask('csv');
    if (button.matches('.gv-parquet')) ask('parquet');
  });
  document.addEventListener('input', (event) => {
    if (event.target.matches('.gv-search')) sift();
  });
})();
