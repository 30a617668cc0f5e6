//! `marft play`: a conversation with one model on the terminal.
//!
//! The answer appears as it is sampled. What has been said is never tokenised again: a turn's prompt is the ids of the turn
//! before, the sampled ids, and the ids of the new text only, so a long conversation costs its last message.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use marft::agents::device::{Device, DeviceError, DeviceHandle, DeviceThread, Ticket};
use marft::agents::generate::{
    FinishReason, GenerateError, GenerateEvent, GenerateRequest, GenerateResponse, Generator, GeneratorOptions,
    PolicyId, Sampling, SeedKey, TokenBytes,
};
use marft::agents::model::{ModelError, Placement};
use marft::agents::text::{Conversation, Text};
use marft::agents::train::{PolicySpec, PolicyTable, TrainError};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::{Value, json};

use super::model::{cannot_open, find};
use super::{Exit, Output};

/// Chat with a model
///
/// Every line of stdin is a message; the answer goes to stdout. Ctrl-C stops an answer, and at the prompt the program.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An alias, a folder, a `.gguf` file or `random:…`
    #[arg(long)]
    model: String,
    /// A folder with a LoRA adapter in PEFT format
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// What the model is told before the conversation
    #[arg(long)]
    system: Option<String>,
    /// 0 always takes the most probable token
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Keep the most probable tokens up to this share of the mass
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 512)]
    max_tokens: usize,
    /// Seed of the random numbers: equal seeds and messages give equal answers
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Why the device could not be set up.
#[derive(Debug, thiserror::Error)]
enum SetUpError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Policy(#[from] TrainError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// What comes from the person.
enum Input {
    Line(String),
    End,
    Failed(std::io::Error),
    Interrupt,
}

/// The only policy.
const POLICY: PolicyId = PolicyId(0);

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let location = find(&self.model)?;
        let text = Arc::new(location.text().map_err(|error| cannot_open(&self.model, error))?);
        let (tokens, adapter) = (Arc::clone(&text) as Arc<dyn TokenBytes>, self.adapter.clone());
        let device = DeviceThread::spawn("device", 16, move || -> Result<_, SetUpError> {
            let mut decoder = location.decoder(Placement::FAST)?;
            let mut policies = PolicyTable::default();
            match adapter {
                Some(folder) => policies.load(POLICY, &folder, None, &decoder)?,
                None => policies.add(POLICY, &PolicySpec::Base, &mut decoder)?,
            }
            let generator = Generator::new(&decoder, tokens, GeneratorOptions::default());
            Ok(Device { decoder, policies, generator })
        });
        let device = device.into_diagnostic().wrap_err_with(|| format!("cannot open `{}`", self.model))?;

        let answering = Arc::new(Mutex::new(None::<Ticket>));
        let inputs = inputs(&answering)?;
        let person = std::io::stdin().is_terminal();
        let mut chat = Chat::new(text, self.sampling(), self.seed, self.system.as_deref());
        loop {
            if person {
                // A prompt that cannot be shown is no reason to stop.
                let _ = write!(std::io::stderr(), "> ");
            }
            match inputs.recv() {
                Ok(Input::Line(line)) if line.trim().is_empty() => {}
                Ok(Input::Line(line)) => chat.answer(&line, &device.handle(), &answering, output)?,
                Ok(Input::Failed(error)) => return Err(error).into_diagnostic().wrap_err("cannot read stdin"),
                Ok(Input::End | Input::Interrupt) | Err(_) => break,
            }
        }
        if person {
            let _ = writeln!(std::io::stderr());
        }
        Ok(Exit::Success)
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            ..Sampling::default()
        }
    }
}

/// Lines and interrupts on one channel. An interrupt withdraws the answer under way, if there is one, and is no input then.
fn inputs(answering: &Arc<Mutex<Option<Ticket>>>) -> miette::Result<Receiver<Input>> {
    let (sender, inputs) = sync_channel(1);
    let (interrupts, answering) = (sender.clone(), Arc::clone(answering));
    ctrlc::set_handler(move || match &*answering.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(ticket) => ticket.cancel(),
        // A full channel holds a line that is about to be answered: there is something to stop soon enough.
        None => drop(interrupts.try_send(Input::Interrupt)),
    })
    .into_diagnostic()
    .wrap_err("cannot watch for Ctrl-C")?;
    // The thread waits for lines until the process ends; nothing depends on it any more then.
    std::thread::spawn(move || read_lines(&sender));
    Ok(inputs)
}

fn read_lines(sender: &SyncSender<Input>) {
    for line in std::io::stdin().lock().lines() {
        if sender.send(line.map_or_else(Input::Failed, Input::Line)).is_err() {
            return;
        }
    }
    // Nobody listens any more if this fails.
    let _ = sender.send(Input::End);
}

/// A conversation and the ids it has come to.
struct Chat {
    text: Arc<Text>,
    sampling: Sampling,
    seed: u64,
    messages: Vec<Value>,
    /// The last turn: the text of its prompt and answer, and their ids.
    so_far: Option<(String, Vec<u32>)>,
}

impl Chat {
    fn new(text: Arc<Text>, mut sampling: Sampling, seed: u64, system: Option<&str>) -> Self {
        sampling.stop_ids.clone_from(&text.specials().end_ids);
        let messages = system.map(|content| json!({ "role": "system", "content": content })).into_iter().collect();
        Self { text, sampling, seed, messages, so_far: None }
    }

    /// Takes a message and writes the answer as it comes. An answer that was stopped is forgotten with its message.
    fn answer(
        &mut self,
        message: &str,
        device: &DeviceHandle<PolicyTable>,
        answering: &Mutex<Option<Ticket>>,
        output: &mut Output,
    ) -> miette::Result<()> {
        self.messages.push(json!({ "role": "user", "content": message }));
        let (rendered, prompt) = self.prompt().into_diagnostic().wrap_err("cannot render the conversation")?;
        let request = GenerateRequest {
            policy: POLICY,
            prompt: prompt.clone(),
            sampling: self.sampling.clone(),
            seed: SeedKey { seed: self.seed, request: self.messages.len() as u64 },
            deadline: None,
            stream: true,
        };
        let generation = device.generate(request).into_diagnostic()?;
        let set = |ticket| *answering.lock().unwrap_or_else(PoisonError::into_inner) = ticket;
        set(Some(generation.ticket()));
        let text = Arc::clone(&self.text);
        let mut detokenizer = text.detokenizer();
        let outcome = loop {
            match generation.next_event() {
                GenerateEvent::Token(token) => {
                    output.text(&detokenizer.push(token.id))?;
                    output.finish()?;
                }
                GenerateEvent::Done(outcome) => break outcome,
            }
        };
        set(None);
        output.text(&format!("{}\n", detokenizer.finish()))?;
        output.finish()?;
        match outcome {
            Ok(response) => self.keep(rendered, prompt, &response),
            Err(GenerateError::Cancelled) => drop(self.messages.pop()),
            Err(error) => return Err(error).into_diagnostic(),
        }
        Ok(())
    }

    /// The text of the next prompt and its ids: those of the last turn as they were, and of what is new.
    fn prompt(&self) -> Result<(String, Vec<u32>), marft::agents::text::TextError> {
        let conversation =
            Conversation { messages: &self.messages, generation_prompt: true, ..Conversation::default() };
        let rendered = self.text.render(conversation)?;
        let ids = match &self.so_far {
            // Some templates rewrite what has been said; then there is nothing to append to.
            Some((text, ids)) => match rendered.strip_prefix(text.as_str()) {
                Some(new) => [&ids[..], &self.text.encode(new)?].concat(),
                None => self.text.encode(&rendered)?,
            },
            None => self.text.encode(&rendered)?,
        };
        Ok((rendered, ids))
    }

    fn keep(&mut self, rendered: String, prompt: Vec<u32>, response: &GenerateResponse) {
        let answer = self.text.decode(&response.ids);
        let mut text = rendered + &answer;
        if let FinishReason::StopId(id) = response.finish {
            text += &self.text.tokenizer().id_to_token(id).unwrap_or_default();
        }
        self.messages.push(json!({ "role": "assistant", "content": answer }));
        self.so_far = Some((text, [prompt, response.ids.clone()].concat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_appends_to_the_ids_of_the_last_one() {
        let location = find("random:llama").unwrap();
        let mut chat = Chat::new(Arc::new(location.text().unwrap()), Sampling::default(), 0, Some("Be brief."));
        let end = chat.sampling.stop_ids[0];
        chat.messages.push(json!({ "role": "user", "content": "one" }));
        let (rendered, prompt) = chat.prompt().unwrap();
        let ids = [chat.text.encode("two").unwrap(), vec![end]].concat();
        let response = GenerateResponse {
            logprobs: vec![0.0; ids.len()],
            logprobs_t1: vec![0.0; ids.len()],
            entropies: vec![0.0; ids.len()],
            finish: FinishReason::StopId(end),
            policy: POLICY,
            policy_version: 0,
            cached_prompt_tokens: 0,
            timings: marft::agents::generate::Timings::default(),
            ids,
        };
        chat.keep(rendered, prompt.clone(), &response);
        chat.messages.push(json!({ "role": "user", "content": "three" }));
        let (rendered, next) = chat.prompt().unwrap();
        assert_eq!(next[..prompt.len() + response.ids.len()], [prompt, response.ids].concat());
        assert_eq!(next, chat.text.encode(&rendered).unwrap(), "this template can be continued");
    }
}
