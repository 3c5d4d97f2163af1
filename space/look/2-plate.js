// The plate and the sentence: words and pickers that show their evidence, the two views, the downloads.
(() => {
  const { ask, $, $$ } = window.galaxyVision;
  const plate = () => $('.gv-result .gv-plate');

  // What the map shows: nothing, or a layer with what it is evidence for, by what means, and the end of its scale.
  const evidence = (layer, words = '', means = '', most = 'most', nothing = '') => {
    const map = $('.gv-result .gv-map');
    if (!map) return;
    const on = layer !== null;
    plate().toggleAttribute('data-heat', on);
    if (layer) map.setAttribute('href', layer);
    else map.removeAttribute('href');
    $('.gv-tools').classList.toggle('gv-on', on);
    $$('.gv-seg button').forEach((button) =>
      button.setAttribute('aria-pressed', String((button.dataset.show === 'evidence') === on)),
    );
    const about = $('.gv-of');
    $('b', about).textContent = words;
    $('small', about).textContent = `${means}${nothing}`;
    $('.gv-most').textContent = most;
    $('.gv-result .gv-pic').setAttribute(
      'aria-label',
      on ? `Evidence for ${words} on the image` : $('.gv-result .gv-pic').dataset.name,
    );
  };
  const release = () => {
    $$('.gv-word').forEach((word) => word.setAttribute('aria-pressed', 'false'));
    $$('.gv-lit').forEach((row) => row.classList.remove('gv-lit'));
  };
  const bare = () => {
    release();
    evidence(null);
  };
  const home = () => {
    release();
    const about = $('.gv-of'),
      { home: label, method, empty } = about.dataset;
    const target = $('.gv-target'),
      by = $('.gv-method');
    if (target.value !== label || by.value !== method) {
      pick();
      return;
    }
    evidence($('.gv-map').dataset.home, label, method, 'most', empty);
  };
  const pick = () => ask('redraw', { evidence: $('.gv-target').value, method: $('.gv-method').value });
  const press = (word) => {
    const on = word.getAttribute('aria-pressed') !== 'true';
    bare();
    if (!on) return;
    word.setAttribute('aria-pressed', 'true');
    evidence(word.dataset.map, word.dataset.word, `by the ${word.dataset.model}`, word.dataset.scale);
    const row = $$('[data-question]:not(.gv-word)').find((step) => step.dataset.question === word.dataset.question);
    row?.classList.add('gv-lit');
  };
  const swap = (button) => {
    const isCut = plate().dataset.view === 'cut';
    plate().dataset.view = isCut ? 'whole' : 'cut';
    $$('.gv-pic, .gv-locator svg', plate()).forEach((svg) =>
      svg.setAttribute('viewBox', isCut ? svg.dataset.whole : svg.dataset.cut),
    );
    button.setAttribute('aria-pressed', String(isCut));
  };
  window.galaxyVision.layer = (drawn) => {
    if (!drawn || Number(plate()?.dataset.number) !== drawn.number) return;
    release();
    evidence(drawn.layer, drawn.target, drawn.method, 'most', drawn.empty ? ' There is none in this image.' : '');
  };

  let later; // a slider moves in steps, and the last of them is meant
  const widen = (range) => {
    clearTimeout(later);
    later = setTimeout(() => {
      window.galaxyVision.keep('.gv-field-range');
      window.galaxyVision.busy('');
      ask('field', { field: range.value });
    }, 300);
  };
  const chosen = () => ({
    evidence: $('.gv-target').value,
    method: $('.gv-method').value,
    opacity: $('.gv-opacity').value,
  });
  const copy = async (button, text) => {
    const label = button.lastChild;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = 'Copied';
    } catch {
      label.textContent = 'Not allowed';
    }
    setTimeout(() => {
      label.textContent = before;
    }, 1500);
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('button');
    if (!button) return;
    if (button.matches('.gv-word')) press(button);
    if (button.matches('.gv-locator')) swap(button);
    if (button.dataset.show === 'image') bare();
    if (button.dataset.show === 'evidence') home();
    if (button.matches('.gv-figure')) ask('figure', chosen());
    if (button.matches('.gv-json')) ask('json', chosen());
    if (button.matches('.gv-compare')) ask('compare');
    if (button.matches('.gv-uncompare')) ask('uncompare');
    if (button.matches('.gv-copy')) copy(button, button.dataset.text);
    if (button.matches('.gv-share')) copy(button, new URL(button.dataset.link, location.href).href);
    if (button.matches('.gv-anyway')) {
      $('#gv-path').hidden = false;
      $('#gv-path').scrollIntoView();
      button.hidden = true;
    }
  });
  document.addEventListener('change', (event) => {
    if (event.target.matches('.gv-target, .gv-method')) pick();
    if (event.target.matches('.gv-field-range')) widen(event.target);
  });
  document.addEventListener('input', (event) => {
    if (event.target.matches('.gv-opacity'))
      document.documentElement.style.setProperty('--gv-opacity', event.target.value);
    if (event.target.matches('.gv-field-range'))
      event.target.previousElementSibling.value = Number(event.target.value).toFixed(2);
  });

  // The image without its map, as long as the button or the picture is held.
  const hold = (on) => plate()?.classList.toggle('gv-held', on);
  document.addEventListener('pointerdown', (event) => {
    if (event.target.closest?.('.gv-bare, .gv-result .gv-pic')) hold(true);
  });
  ['pointerup', 'pointercancel'].forEach((name) => document.addEventListener(name, () => hold(false)));
  document.addEventListener('keydown', (event) => {
    if (event.key === ' ' && event.target.matches?.('.gv-bare')) hold(true);
  });
  document.addEventListener('keyup', () => hold(false));
})();
