// The frame of the page: theme, tabs, drop and paste anywhere, and the bridge to the server's events.
(() => {
  const root = document.documentElement;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const address = new URLSearchParams(location.search);

  const stored = (name, value) => {
    // a page in a frame may have no storage
    try {
      return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value);
    } catch {
      return null;
    }
  };
  const setTheme = (theme) => {
    root.dataset.theme = theme;
    document.body?.classList.toggle('dark', theme === 'dark');
  };
  const system = matchMedia('(prefers-color-scheme: dark)');
  const chosenTheme = () =>
    address.get('__theme') || stored('galaxy-vision-theme') || (system.matches ? 'dark' : 'light');
  setTheme(chosenTheme());
  system.addEventListener('change', () => setTheme(chosenTheme()));

  const triggers = {}; // name of an event -> how it is triggered
  const waiting = []; // events and files from before gradio was there
  const ask = (name, data = {}) => (triggers[name] ? triggers[name](name, data) : waiting.push(() => ask(name, data)));
  const flush = () => {
    waiting.splice(0).forEach((run) => run()); // what cannot run yet waits again
  };

  const inputOf = (id) => $(id === 'gv-files' ? '#gv-many input[type=file]' : '#gv-one input[type=file]');
  const offer = (files, id = 'gv-upload') => {
    const input = inputOf(id);
    if (!files.length) return;
    if (!input) {
      waiting.push(() => offer(files, id));
      busy(files[0]);
      return;
    }
    const carried = new DataTransfer();
    (id === 'gv-upload' ? [files[0]] : [...files]).forEach((file) => carried.items.add(file));
    input.files = carried.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  };

  // Waiting: the image at once, dimmed, in the room of its plate.
  let looking = ''; // the picture that is waited for
  const busy = (picture) => {
    const url = picture instanceof File ? URL.createObjectURL(picture) : picture;
    document.body.classList.add('gv-busy');
    looking = picture;
    $('#gv-veil')?.remove();
    const hero = $$('.gv-hero').find((plate) => plate.offsetParent);
    if (!hero) return;
    const veil = Object.assign(document.createElement('div'), { id: 'gv-veil' });
    veil.innerHTML = '<img alt=""><i></i><p role="status"></p>';
    hero.append(veil);
    $('img', veil).src = url || '';
    $('img', veil).hidden = !url;
    $('img', veil).onerror = (event) => {
      event.target.hidden = true;
    };
    $('p', veil).textContent = 'Looking: class, votes, sentence and the evidence for its words.';
  };
  let kept = ''; // selector of the control that keeps the focus when the answer comes
  const keep = (selector) => {
    kept = selector;
  };
  const settled = () => {
    document.body.classList.remove('gv-busy');
    $('#gv-veil')?.remove();
  };
  const arrived = () => {
    if (!document.body.classList.contains('gv-busy')) return;
    settled();
    requestAnimationFrame(show);
  };
  const show = () => {
    const answer = $('.gv-result'),
      alarm = $('#gv-stage .gv-error');
    if (!answer) {
      alarm?.scrollIntoView({ block: 'center' });
      return;
    }
    history.replaceState(history.state, '', answer.dataset.link || location.pathname);
    tab('one');
    if (kept) {
      // what was changed stays under the hand
      const knob = $(kept);
      kept = '';
      if (knob?.closest('details')) knob.closest('details').open = true;
      knob?.focus({ preventScroll: true });
      return;
    }
    const isPhone = innerWidth <= 700;
    const pair = $('.gv-comparison');
    (pair ?? (isPhone ? $('.gv-strip') : answer)).scrollIntoView({ block: pair || isPhone ? 'start' : 'nearest' });
    answer.focus({ preventScroll: true });
  };
  const save = (file) => {
    const link = Object.assign(document.createElement('a'), { href: file.url, download: file.orig_name ?? '' });
    document.body.append(link);
    link.click();
    link.remove();
  };

  const tab = (key, focus = false, remember = false) => {
    if (document.body.dataset.tab === key && !focus) return;
    const left = document.body.dataset.tab;
    if (left) scrolled[left] = scrollY;
    document.body.dataset.tab = key;
    $$('[role=tab]').forEach((one) => {
      const on = one.dataset.tab === key;
      one.setAttribute('aria-selected', on);
      one.tabIndex = on ? 0 : -1;
      if (on && focus) one.focus();
    });
    if (remember) history.pushState({ tab: key }, '');
    if (scrolled[key] !== undefined) scrollTo(0, scrolled[key]);
  };
  const scrolled = {}; // tab -> where it was left
  addEventListener('popstate', (event) => tab(event.state?.tab ?? 'one'));

  let isStarted = false;
  const started = () => {
    if (isStarted) return;
    if (!$('#gv-stage .gv-stage') || !inputOf('gv-upload') || !inputOf('gv-files')) {
      setTimeout(started, 50); // its parts come one by one
      return;
    }
    isStarted = true;
    setTheme(chosenTheme()); // gradio has set its own
    $('#gv-first')?.remove();
    document.body.dataset.tab ||= 'one';
    $$('.gv-panel').forEach((panel) => {
      panel.setAttribute('role', 'tabpanel');
      panel.setAttribute('aria-labelledby', panel.id.replace('gv-', 'gv-tab-'));
    });
    if (document.body.classList.contains('gv-busy')) busy(looking);
    flush();
  };
  const bridge = (trigger, names) => {
    names.forEach((name) => {
      triggers[name] = trigger;
    });
    requestAnimationFrame(started);
  };
  window.galaxyVision = { ask, bridge, arrived, settled, save, busy, keep, $, $$ };

  const isMany = () => document.body.dataset.tab === 'many';
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  document.addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.body.classList.add('gv-dragging');
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) document.body.classList.remove('gv-dragging');
  });
  document.addEventListener('drop', (event) => {
    document.body.classList.remove('gv-dragging');
    if (!carriesFiles(event)) return;
    event.preventDefault();
    offer(event.dataTransfer.files, isMany() ? 'gv-files' : 'gv-upload');
  });
  document.addEventListener('paste', (event) => {
    if (!event.clipboardData.files.length) return;
    offer(event.clipboardData.files, isMany() ? 'gv-files' : 'gv-upload');
  });
  document.addEventListener('change', (event) => {
    const input = event.target;
    if (input === inputOf('gv-upload') && input.files.length) busy(input.files[0]);
    if (input.matches('select[data-event]')) {
      if (input.dataset.event === 'campaign') keep('.gv-result .gv-whose select');
      busy('');
      ask(input.dataset.event, { campaign: input.value });
    }
  });
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('button');
    if (!button) return;
    if (button.matches('.gv-choose'))
      inputOf('gv-upload') ? inputOf('gv-upload').click() : waiting.push(() => inputOf('gv-upload').click());
    if (button.matches('.gv-choose-many')) inputOf('gv-files')?.click();
    if (button.id === 'gv-theme') {
      const theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
      stored('galaxy-vision-theme', theme);
      address.delete('__theme');
      setTheme(theme);
    }
    if (button.matches('[role=tab]')) tab(button.dataset.tab, false, true);
    if (button.matches('.gv-back')) tab('many', true, true);
    if (button.matches('button[data-event]')) {
      if (button.dataset.event === 'row') {
        history.pushState({ tab: 'one' }, '');
        tab('one');
        scrollTo(0, 0);
      }
      busy($('img', button.closest('tr') ?? button)?.src);
      ask(button.dataset.event, { index: Number(button.dataset.index) });
    }
  });
  document.addEventListener('keydown', (event) => {
    const at = event.target.closest?.('[role=tab]'),
      step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!at || !step) return;
    const all = $$('[role=tab]', at.parentElement);
    tab(all[(all.indexOf(at) + step + all.length) % all.length].dataset.tab, true, true);
  });
})();
