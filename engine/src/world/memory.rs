//! Memories: what agents write down for later turns, for the rest of an episode, or for later episodes.
//!
//! An episode sees what outlives episodes as it was when it opened, and writes into a copy of its own. What it leaves to
//! later ones is taken up when its record is taken, in the order of the records. So nothing depends on which of two
//! episodes that run side by side is the faster one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use marft_topologies::spec::{Evict, MemoryIndex, Scope};
use marft_topologies::team::{Memory, MemoryId, NodeId, VariableId};
use marft_topologies::turns::{Event, Memories, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Importance that a record loses with every write after it, for memories that forget by decay.
const DECAY: f64 = 0.95;

/// One thing that is remembered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// What.
    pub text: String,
    /// Who wrote it, by full name.
    pub by: String,
    /// Position among all writes to the memory.
    pub at: u64,
    /// Position among all recalls when it was last found; 0 where it never was.
    used: AtomicU64,
    /// How often it was found.
    uses: AtomicU64,
}

impl Clone for Note {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            by: self.by.clone(),
            at: self.at,
            used: AtomicU64::new(self.used.load(Ordering::Relaxed)),
            uses: AtomicU64::new(self.uses.load(Ordering::Relaxed)),
        }
    }
}

impl PartialEq for Note {
    fn eq(&self, other: &Self) -> bool {
        let counts = |note: &Self| (note.used.load(Ordering::Relaxed), note.uses.load(Ordering::Relaxed));
        (&self.text, &self.by, self.at, counts(self)) == (&other.text, &other.by, other.at, counts(other))
    }
}

/// The records of one memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Notebook {
    /// The memory's name.
    pub memory: String,
    /// The records, oldest first.
    pub notes: Vec<Note>,
    /// Writes so far.
    writes: u64,
}

/// What outlives episodes, as a checkpoint keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shelf {
    /// One notebook per run-scoped memory of the team, in declared order.
    pub notebooks: Vec<Notebook>,
    /// Run-scoped variables, by name.
    pub variables: Vec<(String, Value)>,
    /// The same, by id.
    #[serde(skip)]
    pub(super) state: Vec<(VariableId, Value)>,
}

/// What an episode leaves to later ones.
#[derive(Debug, Default)]
pub(super) struct Writes {
    changes: Vec<(usize, Change)>,
    state: Vec<(VariableId, Value)>,
}

/// One change of a memory.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    Add {
        text: String,
        by: String,
    },
    /// The record nearest to a text becomes another.
    Update {
        near: String,
        text: String,
        by: String,
    },
    /// The record nearest to a text goes.
    Delete {
        near: String,
    },
}

/// What the agents of one episode remember.
pub(super) struct Notes {
    plan: Arc<Plan>,
    /// By memory id.
    books: Vec<Notebook>,
    /// Writes that wait for their curator, by memory id.
    proposed: Vec<Vec<(String, String)>>,
    writes: Writes,
    recalls: AtomicU64,
}

impl Shelf {
    /// An empty one for a team.
    pub(super) fn new(plan: &Plan) -> Self {
        let run = plan.team().memories().iter().filter(|memory| memory.scope == Scope::Run);
        let notebooks = run.map(|memory| Notebook { memory: memory.name.clone(), ..Notebook::default() }).collect();
        Self { notebooks, ..Self::default() }
    }

    /// Finds variables of the team by their names; forgets what the team does not have.
    pub(super) fn of_team(mut self, plan: &Plan) -> Self {
        let mut shelf = Self::new(plan);
        for notebook in &mut shelf.notebooks {
            if let Some(kept) = self.notebooks.iter_mut().find(|kept| kept.memory == notebook.memory) {
                *notebook = std::mem::take(kept);
            }
        }
        let variables = plan.team().variables().iter().enumerate();
        for (id, variable) in variables.filter(|(_, variable)| variable.scope == Scope::Run) {
            if let Some((_, value)) = self.variables.iter().find(|(name, _)| *name == variable.name) {
                shelf.variables.push((variable.name.clone(), value.clone()));
                shelf.state.push((VariableId::from(id), value.clone()));
            }
        }
        shelf
    }

    /// Takes up what an episode left.
    pub(super) fn take_up(&mut self, writes: Writes, plan: &Plan) {
        let team = plan.team();
        for (memory, change) in writes.changes {
            let known = &team.memories()[memory];
            if let Some(book) = self.notebooks.iter_mut().find(|book| book.memory == known.name) {
                book.change(change, known);
            }
        }
        for (id, value) in writes.state {
            let name = &team.variables()[id.index()].name;
            match self.state.iter_mut().find(|(known, _)| *known == id) {
                Some((_, known)) => *known = value.clone(),
                None => self.state.push((id, value.clone())),
            }
            match self.variables.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => self.variables.push((name.clone(), value)),
            }
        }
    }
}

impl Writes {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.state.is_empty()
    }
}

impl Notes {
    pub(super) fn new(plan: &Arc<Plan>, shelf: Arc<Shelf>) -> Self {
        let books: Vec<Notebook> = plan
            .team()
            .memories()
            .iter()
            .map(|memory| {
                let kept = shelf.notebooks.iter().find(|book| book.memory == memory.name);
                let empty = || Notebook { memory: memory.name.clone(), ..Notebook::default() };
                kept.filter(|_| memory.scope == Scope::Run).cloned().unwrap_or_else(empty)
            })
            .collect();
        let proposed = vec![vec![]; books.len()];
        Self { plan: Arc::clone(plan), books, proposed, writes: Writes::default(), recalls: AtomicU64::new(0) }
    }

    /// Takes what happened in the episode, in order.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Wrote { memory, by, text, .. } => {
                let team = Arc::clone(self.plan.team());
                let known = &team.memories()[memory.index()];
                let by = team.node(by).name.clone();
                if known.curator.is_some() {
                    // a curator that is asked once in a while decides about everything since
                    self.proposed[memory.index()].push((text, by));
                } else {
                    self.change(memory, known, Change::Add { text, by });
                }
            }
            Event::Curated { memory, text, fields } => {
                let team = Arc::clone(self.plan.team());
                let known = &team.memories()[memory.index()];
                let proposed = std::mem::take(&mut self.proposed[memory.index()]);
                for change in decide(&text, &fields, proposed) {
                    self.change(memory, known, change);
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, memory: MemoryId, known: &Memory, change: Change) {
        if known.scope == Scope::Run {
            self.writes.changes.push((memory.index(), change.clone()));
        }
        self.books[memory.index()].change(change, known);
    }

    /// The environment stepped: what lived for a turn of the team is forgotten.
    pub(super) fn end_turn(&mut self) {
        for (book, memory) in self.books.iter_mut().zip(self.plan.team().memories()) {
            if memory.scope == Scope::Turn {
                book.notes.clear();
            }
        }
    }

    /// What the episode leaves to later ones.
    pub(super) fn leave(&mut self) -> Writes {
        std::mem::take(&mut self.writes)
    }
}

/// What an episode leaves to later ones: its changes, and the variables that live as long as the run.
pub(super) fn leave(notes: Option<&mut Notes>, state: Vec<(VariableId, Value)>) -> Option<Writes> {
    let changes = notes.map(|notes| notes.leave().changes).unwrap_or_default();
    let writes = Writes { changes, state };
    (!writes.is_empty()).then_some(writes)
}

/// What a curator decided: the first of the four words in what it said. Without any of them, everything is kept.
fn decide(text: &str, fields: &Map<String, Value>, proposed: Vec<(String, String)>) -> Vec<Change> {
    let words = ["decision", "action"].iter().find_map(|name| fields.get(*name)?.as_str()).unwrap_or(text);
    let decision = words
        .split(|letter: char| !letter.is_alphabetic())
        .map(str::to_uppercase)
        .find(|word| ["ADD", "UPDATE", "DELETE", "NOOP"].contains(&word.as_str()));
    let rewritten = fields.get("text").or_else(|| fields.get("record")).and_then(Value::as_str);
    let near = fields.get("target").and_then(Value::as_str);
    let text_of = |text: String| rewritten.map_or(text, str::to_owned);
    let Some((last, by)) = proposed.last().cloned() else { return vec![] };
    match decision.as_deref() {
        Some("NOOP") => vec![],
        Some("DELETE") => vec![Change::Delete { near: near.unwrap_or(&last).to_owned() }],
        Some("UPDATE") => vec![Change::Update { near: near.unwrap_or(&last).to_owned(), text: text_of(last), by }],
        _ if rewritten.is_some() => vec![Change::Add { text: text_of(last), by }],
        _ => proposed.into_iter().map(|(text, by)| Change::Add { text, by }).collect(),
    }
}

impl Notebook {
    fn change(&mut self, change: Change, memory: &Memory) {
        self.writes += 1;
        let at = self.writes;
        let note = |text, by| Note { text, by, at, used: AtomicU64::new(0), uses: AtomicU64::new(0) };
        match change {
            Change::Add { text, by } => {
                if memory.index == MemoryIndex::Key {
                    // one record per key
                    self.notes.retain(|known| key(&known.text) != key(&text));
                }
                self.notes.push(note(text, by));
            }
            Change::Update { near, text, by } => match self.nearest(&near) {
                Some(nearest) => self.notes[nearest] = note(text, by),
                None => self.notes.push(note(text, by)),
            },
            Change::Delete { near } => {
                if let Some(nearest) = self.nearest(&near) {
                    self.notes.remove(nearest);
                }
            }
        }
        while self.notes.len() > memory.capacity.max(1) as usize {
            let goes = self.goes(memory.evict);
            self.notes.remove(goes);
        }
    }

    /// Which record goes when there is no more room. Of several, the oldest.
    fn goes(&self, evict: Evict) -> usize {
        let worth = |note: &Note| match evict {
            Evict::Oldest | Evict::Curator => note.at as f64,
            Evict::Unused => note.used.load(Ordering::Relaxed) as f64,
            Evict::Decay => {
                let age = self.writes.saturating_sub(note.at);
                (1.0 + note.uses.load(Ordering::Relaxed) as f64) * DECAY.powf(age as f64)
            }
        };
        // what has just been written stays
        let older = self.notes.iter().enumerate().take(self.notes.len().saturating_sub(1));
        older.min_by(|a, b| worth(a.1).total_cmp(&worth(b.1)).then(a.1.at.cmp(&b.1.at))).map_or(0, |(at, _)| at)
    }

    fn nearest(&self, text: &str) -> Option<usize> {
        let wanted = words(text);
        let common = |note: &Note| words(&note.text).intersection(&wanted).count();
        let best = self.notes.iter().enumerate().max_by_key(|(at, note)| (common(note), *at))?;
        (common(best.1) > 0).then_some(best.0)
    }

    /// Records for a query, best first.
    fn find(&self, query: &str, index: MemoryIndex) -> Vec<&Note> {
        let newest = self.notes.iter().rev();
        match index {
            MemoryIndex::Time => newest.collect(),
            MemoryIndex::Key => {
                let query = query.to_lowercase();
                newest.filter(|note| query.contains(&key(&note.text))).collect()
            }
            MemoryIndex::Lexical => ranked(newest, &words(query), |note| words(&note.text)),
            MemoryIndex::Embedding => {
                let query = trigrams(query);
                let near = |note: &Note| cosine(&trigrams(&note.text), &query);
                let mut scored: Vec<_> =
                    newest.map(|note| (near(note), note)).filter(|(near, _)| *near > 0.0).collect();
                scored.sort_by(|a, b| b.0.total_cmp(&a.0));
                scored.into_iter().map(|(_, note)| note).collect()
            }
            MemoryIndex::Links => {
                let mut found = ranked(newest.clone(), &words(query), |note| words(&note.text));
                let known: HashSet<String> = found.iter().flat_map(|note| words(&note.text)).collect();
                let linked = ranked(newest, &known, |note| words(&note.text));
                let new = linked.into_iter().filter(|note| found.iter().all(|known| known.at != note.at));
                found.extend(new.collect::<Vec<_>>());
                found
            }
        }
    }
}

/// Notes with words in common with the query, most first, the newest first among equals.
fn ranked<'a>(
    notes: impl Iterator<Item = &'a Note>,
    wanted: &HashSet<String>,
    words: impl Fn(&Note) -> HashSet<String>,
) -> Vec<&'a Note> {
    let mut scored: Vec<_> =
        notes.map(|note| (words(note).intersection(wanted).count(), note)).filter(|(common, _)| *common > 0).collect();
    scored.sort_by_key(|(common, _)| std::cmp::Reverse(*common));
    scored.into_iter().map(|(_, note)| note).collect()
}

fn words(text: &str) -> HashSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.chars().count() > 2);
    words.map(str::to_lowercase).collect()
}

/// The key of a record: what stands before its first colon, else its first word.
fn key(text: &str) -> String {
    let key = text.split_once(':').map_or_else(|| text.split_whitespace().next().unwrap_or(text), |(key, _)| key);
    key.trim().to_lowercase()
}

/// How often each group of three letters occurs, hashed into a vector: an embedding that needs no model.
fn trigrams(text: &str) -> [f64; 256] {
    let mut counts = [0.0; 256];
    let letters: Vec<u64> = text.to_lowercase().chars().map(u64::from).collect();
    for group in letters.windows(3) {
        let hash = group.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, letter| {
            (hash ^ letter).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        counts[(hash >> 40) as usize % counts.len()] += 1.0;
    }
    counts
}

fn cosine(left: &[f64; 256], right: &[f64; 256]) -> f64 {
    let dot = |a: &[f64; 256], b: &[f64; 256]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    if norms == 0.0 { 0.0 } else { dot(left, right) / norms }
}

impl Memories for Notes {
    fn recall(&self, memory: MemoryId, _reader: NodeId, query: &str) -> Vec<Value> {
        let book = &self.books[memory.index()];
        let found = book.find(query, self.plan.team().memories()[memory.index()].index);
        let now = self.recalls.fetch_add(1, Ordering::Relaxed) + 1;
        let shown = found.into_iter().map(|note| {
            note.used.store(now, Ordering::Relaxed);
            note.uses.fetch_add(1, Ordering::Relaxed);
            Value::Object(Map::from_iter([
                ("text".to_owned(), Value::from(note.text.as_str())),
                ("by".to_owned(), Value::from(note.by.as_str())),
            ]))
        });
        shown.collect()
    }
}
