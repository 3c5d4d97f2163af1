// Labels by keys and buttons: the next galaxy is there before the answer is on the disk.
(() => {
  const $ = (id) => document.getElementById(`gvl-${id}`);
  const images = new Map(); // number of a galaxy -> promise of its image
  const KEPT = 40;
  let state = null, showing = null, waiting = [], hit = null, busy = Promise.resolve(), unkept = 0;

  const ask = async (path, body) => {
    const answer = await fetch(`label/${path}`, body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
      .catch(() => { throw new Error('The program has ended. What was labelled is saved; start it again and load this page.'); });
    const content = await answer.json().catch(() => ({ error: `The program answers with an error (${answer.status}); look at its messages.` }));
    if (!answer.ok) throw new Error(content.error || `The program answers with an error (${answer.status}).`);
    return content;
  };
  const load = (number) => {
    if (!images.has(number)) {
      images.set(number, ask(`galaxy/${number}`).then(async (galaxy) => {
        const image = new Image();
        image.src = galaxy.image;
        await image.decode(); // so that it is drawn at once
        return galaxy;
      }));
      images.get(number).catch(() => images.delete(number));
      for (const old of [...images.keys()].slice(0, Math.max(images.size - KEPT, 0))) images.delete(old);
    }
    return images.get(number);
  };
  const complain = (message) => {
    $('error').hidden = !message;
    $('error').querySelector('span').textContent = message || '';
  };
  const say = (words) => { $('said').textContent = words; };
  const message = (kind, title, words) => {
    document.getElementById('gvl').dataset.state = kind;
    $('message').querySelector('h2').textContent = title;
    $('message').querySelector('p').textContent = words;
  };

  const draw = (galaxy, number) => {
    const image = $('image'), ring = $('ring'), circle = ring.firstElementChild, side = Math.min(galaxy.width, galaxy.height);
    image.src = galaxy.image;
    image.alt = 'The galaxy to label';
    image.dataset.galaxy = number;
    ring.setAttribute('viewBox', `0 0 ${galaxy.width} ${galaxy.height}`);
    ring.style.display = $('scale').style.display = galaxy.circle ? '' : 'none';
    if (galaxy.circle) {
      const [x, y, radius] = galaxy.circle;
      circle.setAttribute('cx', x + 0.5);
      circle.setAttribute('cy', y + 0.5);
      circle.setAttribute('r', radius);
      $('scale').dataset.share = radius / side;
      $('scale').querySelector('span').textContent = `${Math.round(radius)} px = 1 petroR90`;
    }
    measure();
    document.getElementById('gvl').dataset.state = 'asking';
  };
  const measure = () => {
    const zoom = $('plate').dataset.view === 'frame' ? 1 / (state?.crop || 1) : 1;
    document.getElementById('gvl').style.setProperty('--zoom', 1 / (state?.crop || 1));
    $('scale').style.width = `${100 * zoom * Number($('scale').dataset.share || 0)}%`;
  };
  const show = async (number) => {
    showing = number ?? null;
    delete $('image').dataset.galaxy;
    if (showing === null) return rest();
    const mine = showing;
    const slow = setTimeout(() => { if (showing === mine) message('loading', 'Reading the image', ''); }, 300);
    try {
      const galaxy = await load(mine);
      if (showing === mine) draw(galaxy, mine);
    } catch (error) {
      if (showing !== mine) return;
      if (/has ended/.test(error.message)) return complain(error.message);
      state = await ask('state'); // it is left out now
      render();
      await show(state.next[0]);
    } finally {
      clearTimeout(slow);
    }
  };
  const rest = () => {
    if (!state) return;
    if (unkept) return message('loading', 'Keeping your labels', ''); // what is said next counts them
    if (!state.total) return message('empty', 'No images yet', 'Put images into the folder of the catalogue: they are shown here as soon as they are there.');
    message('finished', 'All labelled', `${state.labelled} of ${state.total} galaxies have a label. Labels gives you the file; galaxy-vision train --data learns from it.`);
    say('All galaxies are labelled.');
  };

  const render = () => {
    const most = Number(document.getElementById('gvl').dataset.most), highest = Math.max(1, ...state.labels.map((label) => label.count));
    $('question').textContent = state.find ? `Looking for “${state.find}”` : 'What is it?';
    $('progress').textContent = `${state.labelled} of ${state.total} labelled`;
    $('bar').setAttribute('aria-valuenow', state.labelled);
    $('bar').setAttribute('aria-valuemax', Math.max(state.total, 1));
    $('bar').firstElementChild.style.width = `${100 * state.labelled / Math.max(state.total, 1)}%`;
    const looked = state.known < state.total ? `${state.known} of ${state.total} galaxies looked at` : '';
    $('known').textContent = looked;
    $('keys').replaceChildren(...state.labels.map(({ name, count }, index) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.label = name;
      button.innerHTML = '<kbd aria-hidden="true"></kbd><b></b><span class="gvl-more"><i></i><span></span></span>';
      button.querySelector('kbd').textContent = index + 1;
      button.querySelector('b').textContent = name;
      button.querySelector('i').style.width = `${Math.round(72 * count / highest)}px`;
      button.querySelector('.gvl-more span').textContent = count;
      button.setAttribute('aria-keyshortcuts', index + 1);
      button.classList.toggle('gvl-hit', name === hit);
      return button;
    }));
    $('new').hidden = state.labels.length >= most;
    $('name').placeholder = state.labels.length ? 'A further label' : 'Name a first label, such as ring';
    $('undo').disabled = !state.last.length;
    $('last').replaceChildren(...state.last.map(({ galaxy, label, guess }) => {
      const figure = document.createElement('figure'), odd = guess && guess !== label;
      figure.innerHTML = '<span></span><figcaption></figcaption>';
      figure.classList.toggle('gvl-odd', Boolean(odd));
      figure.title = odd ? `${label}; the model had said ${guess}` : label;
      figure.querySelector('figcaption').textContent = label;
      load(galaxy).then(({ image }) => {
        const small = new Image();
        small.src = image;
        small.alt = figure.title;
        figure.querySelector('span').replaceChildren(small);
      }).catch(() => {});
      return figure;
    }));
    const odd = state.last.some(({ label, guess }) => guess && guess !== label);
    $('past-note').textContent = !state.last.length ? 'Your last six come here.' : odd ? 'Your last six. Framed in gold: the model had said otherwise.' : 'Your last six.';
    $('agreed').textContent = state.judged ? `${state.agreed} of ${state.judged}` : '–';
    $('agreed-note').textContent = state.judged ? 'the model said the same, before it saw your label'
      : state.learned ? 'the model has learned; it is compared with your next labels' : 'the model has not learned yet: it needs two labels that differ';
    $('until').textContent = state.until === 1 ? '1 label' : `${state.until} labels`;
    $('until-note').textContent = state.until ? 'until it learns again from all of them' : 'to wait for: it learns right now';
    $('notes').textContent = [...state.notes, state.broken ? `Left out, since they cannot be read: ${state.broken}.` : ''].filter(Boolean).join(' ');
  };
  const take = (answer) => {
    state = answer;
    render();
    if (showing === null && (state.next.length || document.getElementById('gvl').dataset.state !== 'asking')) show(state.next[0]);
    waiting = answer.next.filter((number) => number !== showing);
    waiting.forEach((number) => load(number).catch(() => {}));
  };

  // One request after the other, in the order of the keys; the page is ahead of them.
  const send = (path, body, galaxy) => {
    unkept += 1;
    busy = busy.then(async () => {
      try {
        const answered = await ask(path, { ...body, showing }).finally(() => { unkept -= 1; });
        take(answered);
        complain('');
      } catch (error) {
        complain(error.message);
        say(error.message);
        if (galaxy !== undefined) await show(galaxy);
      }
    });
  };
  const forward = () => show(waiting.shift());
  const answer = (label) => {
    if (showing === null || $('image').dataset.galaxy === undefined) return; // nothing is to be seen yet
    const galaxy = showing;
    hit = label;
    document.querySelectorAll('#gvl-keys button').forEach((button) => button.classList.toggle('gvl-hit', button.dataset.label === label));
    setTimeout(() => { hit = null; document.querySelectorAll('#gvl-keys .gvl-hit').forEach((button) => button.classList.remove('gvl-hit')); }, 180);
    say(label);
    send('answer', { galaxy, label }, galaxy);
    forward();
  };
  const skip = () => {
    if (showing === null) return;
    const galaxy = showing;
    say('skipped');
    send('skip', { galaxy }, galaxy);
    forward();
  };
  const undo = () => {
    busy = busy.then(async () => {
      try {
        const answered = await ask('undo', {});
        complain('');
        if (answered.result !== null) { say('taken back'); show(answered.result); }
        take(answered);
      } catch (error) { complain(error.message); }
    });
  };
  const whole = () => {
    const plate = $('plate'), all = plate.dataset.view === 'frame';
    plate.dataset.view = all ? 'whole' : 'frame';
    $('whole').setAttribute('aria-pressed', String(all));
    measure();
  };

  document.addEventListener('keydown', (event) => {
    if (!state || event.ctrlKey || event.metaKey || event.altKey || event.repeat || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
    const key = event.key.toLowerCase();
    if (/^[1-9]$/.test(key)) { const label = state.labels[Number(key) - 1]; if (label) answer(label.name); }
    else if (key === '0') skip();
    else if (key === 'z') undo();
    else if (key === 'w') whole();
  });
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('button');
    if (!button?.closest('#gvl')) return;
    if (button.dataset.label !== undefined) answer(button.dataset.label);
    else if (button.id === 'gvl-undo') undo();
    else if (button.id === 'gvl-skip') skip();
    else if (button.id === 'gvl-whole') whole();
    else if (button.id === 'gvl-theme') document.body.classList.toggle('dark');
  });
  document.addEventListener('submit', (event) => {
    if (event.target.id !== 'gvl-new') return;
    event.preventDefault();
    const name = $('name').value.trim();
    if (!name) return;
    $('name').value = '';
    $('name').blur(); // keys label again
    send('name', { name });
  });
  const look = () => { // what others labelled, what the model has looked at, images that have come
    if (!document.hidden) busy = busy.then(async () => { try { take(await ask(`state${showing === null ? '' : `?showing=${showing}`}`)); } catch (error) { complain(error.message); } });
  };
  const begin = setInterval(() => {
    if (!document.getElementById('gvl')) return;
    clearInterval(begin);
    message('loading', 'Opening the catalogue', '');
    look();
    setInterval(look, 3000);
  }, 30);
})();
