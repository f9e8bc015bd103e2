// What a browser has to do itself: sliders, the address, starting and stopping, and putting what
// the server drew in its place.  Everything is made by the server; this makes nothing.
'use strict';
(() => {
  const $ = id => document.getElementById(id);
  const form = $('study'), panel = $('panel'), status = $('status'), note = $('note');
  const ended = ['done', 'failed', 'stopped', 'gone'];
  let source = null, job = panel ? Number(panel.dataset.job) : 0;

  const say = (text, where) => { (where || status).textContent = text; };

  async function post(path, body) {
    const answer = await fetch(path, {
      method: 'POST',
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify(body),
    });
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.error);
    return value;
  }

  // A slider has a thousand places, on a logarithmic scale, with its number beside it.
  function bind(slider) {
    const number = $(slider.dataset.for), least = Number(slider.dataset.least);
    const most = Number(slider.dataset.most), whole = number.step === '1';
    const scale = Math.log(most / least);
    const show = () => {
      const value = Number(number.value);
      slider.value = value > 0 ? 1000 * Math.log(value / least) / scale : 0;
      slider.setAttribute('aria-valuetext', number.value || 'as usual');
    };
    slider.addEventListener('input', () => {
      const value = least * Math.exp(scale * slider.value / 1000);
      number.value = whole ? Math.round(value) : Number(value.toPrecision(2));
      slider.setAttribute('aria-valuetext', number.value);
    });
    slider.addEventListener('change', keep);
    number.addEventListener('input', show);
    show();
  }

  function settings() {
    const all = {};
    for (const [name, value] of new FormData(form))
      if (name === 'device' || name === 'engine') (all[name] = all[name] || []).push(value);
      else if (value !== '') all[name] = value;
    return all;
  }

  // Every setting is in the address.
  function keep() {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(settings()))
      query.set(name, Array.isArray(value) ? value.join(',') : value);
    if (job) query.set('job', job);
    history.replaceState(null, '', '?' + query);
  }

  function buttons(state) {
    if (!form) return;
    $('stop').hidden = !job || ended.includes(state);
    $('start').disabled = !!panel.dataset.wait;
  }

  function follow(number) {
    if (source) source.close();
    source = new EventSource('/events?job=' + number);
    source.addEventListener('study', event => {
      const {state, html} = JSON.parse(event.data);
      const open = [...panel.querySelectorAll('details')].map(each => each.open);
      panel.innerHTML = html;
      panel.querySelectorAll('details').forEach((each, i) => { each.open = !!open[i]; });
      panel.dataset.state = state;
      buttons(state);
      if (!ended.includes(state)) return;
      source.close();
      if (form) say('study ' + number + ' ' + state);
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) say('the server does not answer', status || panel);
    };
  }

  async function start(event) {
    event.preventDefault();
    say('');
    try {
      const value = await post('/api/jobs', {study: form.dataset.study, ...settings()});
      job = value.job;
      keep();
      buttons(value.state);
      say('study ' + job + ' ' + value.state);
      follow(job);
    } catch (fault) {
      say(fault.message);
    }
  }

  // The devices are not known yet: the form is made anew when they are.
  function wait(number) {
    const machine = new EventSource('/events?job=' + number);
    machine.addEventListener('study', event => {
      if (!ended.includes(JSON.parse(event.data).state)) return;
      machine.close();
      location.reload();
    });
  }

  document.querySelectorAll('input[type=range]').forEach(bind);
  if (form) {
    form.addEventListener('submit', start);
    form.addEventListener('change', keep);
    $('stop').addEventListener('click', async () => {
      say('stopping; what was trained is saved');
      try { await post('/api/jobs/' + job + '/stop', {}); } catch (fault) { say(fault.message); }
    });
    buttons('waiting');
  }
  if (note)
    note.addEventListener('submit', async event => {
      event.preventDefault();
      try {
        await post('/api/runs/' + note.dataset.run + '/note', {text: note.elements.text.value});
        location.reload();
      } catch (fault) {
        say(fault.message, note.querySelector('[role=status]'));
      }
    });
  if (job) follow(job);
  if (panel && panel.dataset.wait) wait(panel.dataset.wait);
})();
