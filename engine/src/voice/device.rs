//! A device voice: an agent whose words a model on a device thread samples.
//!
//! Any number of questions are under way at once; the device decodes them as one batch. Its replies come through one channel
//! to a forwarding thread, which turns them into answers. That thread never waits for one side without listening to the
//! other, so neither a full queue of questions nor a full queue of answers can stop the world.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded, never, select};
use marft_agents::device::DeviceHandle;
use marft_agents::generate::{
    GenerateError, GenerateEvent, GenerateRequest, GenerateResponse, PolicyId, RequestId, Sampling,
};
use marft_agents::parse::Form;
use marft_agents::text::Text;
use marft_agents::train::PolicyTable;
use marft_topologies::team;

use super::prompts::Prompts;
use super::{Answer, Line, Prompt, Question, Taken, Ticket, Voice, VoiceFault, Words};

/// Replies that may wait for the forwarder before the device waits.
const REPLIES: usize = 1024;

/// How long the forwarder listens before it looks at a full queue of answers again.
const SHORT: Duration = Duration::from_millis(1);

/// How long it listens where nothing is to be handed out.
const LONG: Duration = Duration::from_hours(1);

/// Who asked, and where the answer goes.
struct Asked {
    request: RequestId,
    ticket: Ticket,
    answers: Sender<Answer>,
    /// Whether the answer was held to a form.
    held: bool,
}

/// Turns the replies of one device into answers. Dropping it ends its thread once nothing is under way.
#[derive(Debug)]
pub struct Forwarder {
    asked: Sender<Asked>,
    replies: Sender<(RequestId, GenerateEvent)>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts the thread; `text` decodes what the device samples.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(text: Arc<Text>) -> std::io::Result<Self> {
        let (asked, questions) = bounded(REPLIES);
        let (replies, events) = bounded(REPLIES);
        let thread = std::thread::Builder::new()
            .name("marft-answers".to_owned())
            .spawn(move || forward(&questions, &events, text))?;
        Ok(Self { asked, replies, thread: Some(thread) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // both ends closed: the thread sees that nothing can come any more
        (self.asked, self.replies) = (bounded(0).0, bounded(0).0);
        if let Some(thread) = self.thread.take() {
            // a panic there has nobody left to tell
            drop(thread.join());
        }
    }
}

/// What the forwarder knows.
struct Desk {
    text: Arc<Text>,
    /// Questions without a reply.
    open: HashMap<RequestId, Asked>,
    /// Replies that came before their question was told of.
    early: HashMap<RequestId, Result<GenerateResponse, GenerateError>>,
    /// Answers on their way out.
    ready: VecDeque<(Sender<Answer>, Answer)>,
}

fn forward(asked: &Receiver<Asked>, replies: &Receiver<(RequestId, GenerateEvent)>, text: Arc<Text>) {
    let mut desk = Desk { text, open: HashMap::new(), early: HashMap::new(), ready: VecDeque::new() };
    let (mut asking, mut replying) = (Some(asked.clone()), Some(replies.clone()));
    while asking.is_some() || replying.is_some() || !desk.ready.is_empty() {
        desk.hand_out();
        let patience = if desk.ready.is_empty() { LONG } else { SHORT };
        let (questions, events) = (asking.clone().unwrap_or_else(never), replying.clone().unwrap_or_else(never));
        select! {
            recv(questions) -> asked => match asked {
                Ok(asked) => desk.register(asked),
                Err(_) => asking = None,
            },
            recv(events) -> event => match event {
                Ok((request, GenerateEvent::Done(outcome))) => desk.reply(request, outcome),
                Ok((_, GenerateEvent::Token(_))) => {}
                Err(_) => replying = None,
            },
            default(patience) => {}
        }
    }
}

impl Desk {
    fn register(&mut self, asked: Asked) {
        match self.early.remove(&asked.request) {
            Some(outcome) => self.answer(asked, outcome),
            None => drop(self.open.insert(asked.request, asked)),
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Result<GenerateResponse, GenerateError>) {
        match self.open.remove(&request) {
            Some(asked) => self.answer(asked, outcome),
            None => drop(self.early.insert(request, outcome)),
        }
    }

    fn answer(&mut self, asked: Asked, outcome: Result<GenerateResponse, GenerateError>) {
        let outcome = outcome.map(|response| self.words(response, asked.held)).map_err(|error| fault(&error));
        self.ready.push_back((asked.answers, Answer { ticket: asked.ticket, outcome }));
    }

    fn words(&self, response: GenerateResponse, held: bool) -> Words {
        Words {
            text: self.text.decode(&response.ids),
            entropy: response.entropies.iter().map(|entropy| f64::from(*entropy)).sum(),
            finish: Some(response.finish),
            version: response.policy_version,
            cached: response.cached_prompt_tokens,
            ids: response.ids,
            // the trainer knows no forms: what it compares with has to be the policy's own
            logprobs: if held { response.logprobs_t1 } else { response.logprobs },
            usage: None,
        }
    }

    fn hand_out(&mut self) {
        while let Some((outlet, answer)) = self.ready.pop_front() {
            match outlet.try_send(answer) {
                // a world that is gone wants no answers
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(answer)) => {
                    self.ready.push_front((outlet, answer));
                    return;
                }
            }
        }
    }
}

/// Asking again helps only where the device was busy.
fn fault(error: &GenerateError) -> VoiceFault {
    let message = match error {
        // the number that a policy has on the device is nothing to a reader, who is told the agent
        GenerateError::NonFinite { version, position, .. } => {
            format!("the logits of its policy (version {version}) at token {position} are not finite")
        }
        _ => error.to_string(),
    };
    VoiceFault { message, transient: matches!(error, GenerateError::Busy { .. }) }
}

/// The voice of the agents of one team policy.
#[derive(Debug)]
pub struct DeviceVoice {
    handle: DeviceHandle<PolicyTable>,
    forwarder: Arc<Forwarder>,
    prompts: Prompts,
    /// Weights by the agent's label.
    policies: HashMap<String, PolicyId>,
    window: usize,
    patience: Option<Duration>,
}

impl DeviceVoice {
    /// A voice that speaks with `policies[label]` for the agent with this label. `window` is the longest context of the
    /// model in tokens; `patience` the longest a turn may take.
    pub fn new(
        handle: DeviceHandle<PolicyTable>,
        forwarder: Arc<Forwarder>,
        text: Arc<Text>,
        policies: HashMap<String, PolicyId>,
        window: usize,
        patience: Option<Duration>,
    ) -> Self {
        Self { handle, forwarder, prompts: Prompts::new(text), policies, window, patience }
    }

    fn sampling(&self, asked: &team::Sampling, form: Option<&Form>) -> Sampling {
        let mut stop_ids = self.prompts.text().specials().end_ids.clone();
        stop_ids.extend(&asked.stop_ids);
        Sampling {
            temperature: asked.temperature as f32,
            top_k: asked.top_k,
            top_p: asked.top_p as f32,
            min_p: asked.min_p as f32,
            stop: asked.stop.clone(),
            stop_ids,
            max_tokens: asked.max_tokens as usize,
            constraint: form.cloned(),
            ..Sampling::default()
        }
    }
}

impl Voice for DeviceVoice {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let ticket = question.ticket;
        let refuse =
            |message: String| Taken::Now(Answer { ticket, outcome: Err(VoiceFault { message, transient: false }) });
        let Prompt::Tokens(prompt) = question.prompt else {
            return refuse("a model on a device reads tokens, not words".to_owned());
        };
        let Some(policy) = self.policies.get(&*question.agent).copied() else {
            return refuse(format!("agent `{}` has no weights on this device", question.agent));
        };
        let request = GenerateRequest {
            policy,
            prompt,
            sampling: self.sampling(&question.sampling, question.form.as_deref()),
            seed: question.seed.request(),
            deadline: self.patience.map(|patience| Instant::now() + patience),
            stream: false,
        };
        match self.handle.submit(request, &self.forwarder.replies) {
            Ok(under_way) => {
                let held = question.form.is_some();
                let asked = Asked { request: under_way.id, ticket, answers: answers.clone(), held };
                // the forwarder lives as long as this voice
                drop(self.forwarder.asked.send(asked));
                Taken::Later(Box::new(move || under_way.cancel()))
            }
            Err(error) => refuse(error.to_string()),
        }
    }

    fn open(&self, lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        Some(self.prompts.open(lines))
    }

    fn follow_up(&self, text: &str, ended: bool) -> Result<Vec<u32>, VoiceFault> {
        self.prompts.follow_up(text, ended)
    }

    fn window(&self) -> Option<usize> {
        Some(self.window)
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        Some(self.prompts.text().table().bytes(id))
    }
}
