//! Where every card, box and link of a picture goes: each box is laid out on its own, inner boxes first.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::Layered;
use super::picture::{Card, Group, Kind, Member, Picture};
use super::text::{short, width};

/// Size of the letters of names and of the lines below.
pub(super) const NAME: f64 = 14.0;
pub(super) const LINE: f64 = 11.0;
/// Letters of a line of a card, of a label and of a note.
pub(super) const LETTERS: usize = 40;
pub(super) const NOTE: usize = 90;
const PAD: f64 = 14.0;
const BOX_PAD: f64 = 18.0;
const BOX_HEAD: f64 = 44.0;
/// Space between layers without labels.
const SPACE: f64 = 64.0;
/// Room above a card that hears itself.
const LOOP: f64 = 18.0;
/// Distance between two lines that run side by side below the cards.
const LANE: f64 = 11.0;

/// A rectangle, by its upper left corner.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A point.
pub(super) type Point = (f64, f64);

/// Where everything is.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub(super) cards: Vec<Rect>,
    pub(super) boxes: Vec<Rect>,
    pub(super) links: Vec<Way>,
    /// Sets of members that all hear each other later: drawn as one bracket.
    pub(super) brackets: Vec<Bracket>,
}

/// How a link runs.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// From left to right through these points.
    Forward(Vec<Point>),
    /// Out to the right, down to a lane, back to the left, up and in: x right, y lane, x left.
    Below {
        /// Where it leaves.
        start: Point,
        /// Right-hand and left-hand turn.
        turns: (f64, f64),
        /// Height of the lane.
        lane: f64,
        /// Where it arrives.
        end: Point,
    },
    /// A small loop at the card's upper right corner.
    Own(Rect),
    /// Part of a bracket.
    Bracketed,
}

/// Members of one layer that all hear each other.
#[derive(Debug, Clone)]
pub(super) struct Bracket {
    pub(super) x: f64,
    pub(super) ends: Vec<f64>,
    pub(super) delay: u32,
}

/// A laid-out box, relative to its upper left corner.
#[derive(Debug, Default, Clone)]
struct Inner {
    size: Point,
    /// Members and their rectangles.
    places: Vec<(Member, Rect)>,
    /// Per link that enters or leaves: points on the way inside.
    through: BTreeMap<usize, Vec<Point>>,
    /// Links that run below.
    below: BTreeMap<usize, Way>,
    /// Links between members, with the points between them.
    direct: BTreeMap<usize, Vec<Point>>,
    brackets: Vec<Bracket>,
}

/// Lays a picture out.
pub(super) fn arrange(picture: &Picture) -> Arrangement {
    let homes = Homes::of(picture);
    let mut inner: Vec<Inner> = vec![Inner::default(); picture.boxes.len()];
    // Boxes come after the ones around them.
    for index in (0..picture.boxes.len()).rev() {
        inner[index] = layout(picture, &homes, index, &inner);
    }
    let mut found = Arrangement {
        cards: vec![Rect::default(); picture.cards.len()],
        boxes: vec![Rect::default(); picture.boxes.len()],
        links: vec![Way::Bracketed; picture.links.len()],
        brackets: Vec::new(),
    };
    let root = &inner[0];
    found.boxes[0] = Rect { x: 0.0, y: 0.0, width: root.size.0, height: root.size.1 };
    let mut ways: BTreeMap<usize, Vec<Point>> = BTreeMap::new();
    let mut pending = vec![0];
    while let Some(index) = pending.pop() {
        let corner = (found.boxes[index].x, found.boxes[index].y);
        let moved =
            |points: &[Point]| points.iter().map(|point| (point.0 + corner.0, point.1 + corner.1)).collect::<Vec<_>>();
        for (member, rect) in &inner[index].places {
            let rect = Rect { x: rect.x + corner.0, y: rect.y + corner.1, ..*rect };
            match member {
                Member::Card(card) => place_card(picture, *card, rect, &mut found.cards),
                Member::Box(inner) => {
                    found.boxes[*inner] = rect;
                    pending.push(*inner);
                }
            }
        }
        for (link, points) in inner[index].direct.iter().chain(&inner[index].through) {
            ways.entry(*link).or_default().extend(moved(points));
        }
        for (link, way) in &inner[index].below {
            found.links[*link] = shifted(way, corner);
        }
        let brackets = inner[index].brackets.iter();
        found.brackets.extend(brackets.map(|bracket| Bracket {
            x: bracket.x + corner.0,
            ends: bracket.ends.iter().map(|y| y + corner.1).collect(),
            delay: bracket.delay,
        }));
    }
    for (index, link) in picture.links.iter().enumerate() {
        let rect = |member: Member| match member {
            Member::Card(card) => found.cards[card],
            Member::Box(index) => found.boxes[index],
        };
        if let Some(mut points) = ways.remove(&index) {
            // Points of outer and inner boxes come together in the order in which the line meets them.
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            let (from, to) = (rect(link.from), rect(link.to));
            points.insert(0, (from.x + from.width, from.y + from.height / 2.0));
            points.push((to.x, to.y + to.height / 2.0));
            found.links[index] = Way::Forward(points);
        }
    }
    found
}

fn shifted(way: &Way, (x, y): Point) -> Way {
    match way {
        Way::Below { start, turns, lane, end } => Way::Below {
            start: (start.0 + x, start.1 + y),
            turns: (turns.0 + x, turns.1 + x),
            lane: lane + y,
            end: (end.0 + x, end.1 + y),
        },
        Way::Own(rect) => Way::Own(Rect { x: rect.x + x, y: rect.y + y, ..*rect }),
        other => other.clone(),
    }
}

/// The box around each member.
struct Homes {
    cards: Vec<usize>,
    boxes: Vec<usize>,
}

impl Homes {
    fn of(picture: &Picture) -> Self {
        let mut homes = Self { cards: vec![0; picture.cards.len()], boxes: vec![0; picture.boxes.len()] };
        for (index, group) in picture.boxes.iter().enumerate() {
            for member in &group.members {
                match member {
                    Member::Card(card) => homes.cards[*card] = index,
                    Member::Box(inner) => homes.boxes[*inner] = index,
                }
            }
        }
        homes
    }

    fn of_member(&self, member: Member) -> Option<usize> {
        match member {
            Member::Card(card) => Some(self.cards[card]),
            Member::Box(0) => None,
            Member::Box(index) => Some(self.boxes[index]),
        }
    }

    /// The member of `group` that is or contains `member`.
    fn lift(&self, group: usize, mut member: Member) -> Option<Member> {
        loop {
            let home = self.of_member(member)?;
            if home == group {
                return Some(member);
            }
            member = Member::Box(home);
        }
    }
}

/// Size of a card, without those it employs.
fn card_size(card: &Card) -> Point {
    let name = width(&card_name(card)) * NAME;
    let lines = card.lines.iter().map(|line| width(&short(line, LETTERS)) * LINE);
    let widest = lines.fold(name, f64::max);
    (widest.max(56.0) + PAD * 2.0, 34.0 + card.lines.len() as f64 * 15.0)
}

/// A card's name, with the number of replicas.
pub(super) fn card_name(card: &Card) -> String {
    let name = short(&card.name, LETTERS);
    if card.count > 1 { format!("{name} ×{}", card.count) } else { name }
}

/// Distance from a card to those it employs, below.
const EMPLOYED: f64 = 26.0;

fn member_size(picture: &Picture, member: Member, inner: &[Inner]) -> Point {
    match member {
        Member::Box(index) => inner[index].size,
        Member::Card(index) => {
            let card = &picture.cards[index];
            let (mut width, mut height) = card_size(card);
            let staff: Vec<_> = card.employs.iter().map(|employee| card_size(&picture.cards[*employee])).collect();
            if !staff.is_empty() {
                let row: f64 = staff.iter().map(|size| size.0).sum::<f64>() + PAD * (staff.len() - 1) as f64;
                width = width.max(row);
                height += EMPLOYED + staff.iter().map(|size| size.1).fold(0.0, f64::max);
            }
            (width, height)
        }
    }
}

/// Puts a card at the top of its place and those it employs in a row below.
fn place_card(picture: &Picture, index: usize, rect: Rect, cards: &mut [Rect]) {
    let card = &picture.cards[index];
    let (width, height) = card_size(card);
    cards[index] = Rect { x: rect.x + (rect.width - width) / 2.0, y: rect.y, width, height };
    let staff: Vec<_> = card.employs.iter().map(|employee| (*employee, card_size(&picture.cards[*employee]))).collect();
    let row: f64 = staff.iter().map(|(_, size)| size.0).sum::<f64>() + PAD * staff.len().saturating_sub(1) as f64;
    let mut x = rect.x + (rect.width - row) / 2.0;
    for (employee, (width, own)) in staff {
        cards[employee] = Rect { x, y: rect.y + height + EMPLOYED, width, height: own };
        x += width + PAD;
    }
}

/// Where lines meet a member: at the middle of its card, not of those it employs.
fn port(picture: &Picture, member: Member, rect: Rect) -> (Rect, f64) {
    match member {
        Member::Box(_) => (rect, rect.y + rect.height / 2.0),
        Member::Card(index) => {
            let (width, height) = card_size(&picture.cards[index]);
            (Rect { x: rect.x + (rect.width - width) / 2.0, y: rect.y, width, height }, rect.y + height / 2.0)
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one layout from top to bottom; its parts share every list made on the way")]
fn layout(picture: &Picture, homes: &Homes, group: usize, inner: &[Inner]) -> Inner {
    let members = &picture.boxes[group].members;
    let index: BTreeMap<Member, usize> = members.iter().enumerate().map(|(at, member)| (*member, at)).collect();
    let at = |member: Member| homes.lift(group, member).and_then(|member| index.get(&member).copied());

    // Links of this box: between two of its members, into one, or out of one.
    let mut forward = Vec::new();
    let mut back = Vec::new();
    let (mut entering, mut leaving) = (Vec::new(), Vec::new());
    for (id, link) in picture.links.iter().enumerate() {
        match (at(link.from), at(link.to)) {
            (Some(from), Some(to)) if matches!(link.kind, Kind::Delayed(_)) || from == to => back.push((id, from, to)),
            (Some(from), Some(to)) => forward.push((id, from, to)),
            (None, Some(to)) if !matches!(link.kind, Kind::Delayed(_)) => entering.push((id, to)),
            (Some(from), None) if !matches!(link.kind, Kind::Delayed(_)) => leaving.push((id, from)),
            _ => {}
        }
    }
    let pairs: Vec<_> = forward.iter().map(|(_, from, to)| (*from, *to)).collect();
    let layers = crate::dependency::longest_paths(members.len(), &pairs, |_| 1);
    let count = layers.iter().max().map_or(1, |deepest| deepest + 1);

    let mut layered = Layered::default();
    for (member, layer) in members.iter().zip(&layers) {
        let (width, height) = member_size(picture, *member, inner);
        let item = layered.add(width, height, *layer);
        if let Member::Card(card) = member {
            layered.items[item].port = (height - card_size(&picture.cards[*card]).1) / 2.0;
        }
    }
    let mut points: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut bundles: BTreeMap<(usize, Kind), BTreeMap<usize, usize>> = BTreeMap::new();
    for (id, from, to) in &forward {
        if layers[*from] < layers[*to] {
            let bundle = bundles.entry((*from, picture.links[*id].kind)).or_default();
            points.insert(*id, layered.link(*from, *to, bundle));
        }
    }
    // A link from outside to a member that is not in the first layer passes the layers before it, and likewise out.
    let mut passing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut entries: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
    for (id, to) in &entering {
        let shared = entries.entry(*to).or_default();
        let mut way: Vec<usize> = Vec::new();
        for layer in 0..layers[*to] {
            let point = *shared.entry(layer).or_insert_with(|| layered.add(0.0, 0.0, layer));
            if let Some(before) = way.last().copied().filter(|before| !layered.links.contains(&(*before, point))) {
                layered.links.push((before, point));
            }
            way.push(point);
        }
        if let Some(before) = way.last() {
            layered.links.push((*before, *to));
        }
        passing.insert(*id, way);
    }
    let mut exits: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
    for (id, from) in &leaving {
        let shared = exits.entry(*from).or_default();
        let mut way = vec![*from];
        for layer in layers[*from] + 1..count {
            let point = *shared.entry(layer).or_insert_with(|| layered.add(0.0, 0.0, layer));
            let before = way[way.len() - 1];
            if !layered.links.contains(&(before, point)) {
                layered.links.push((before, point));
            }
            way.push(point);
        }
        way.remove(0);
        passing.insert(*id, way);
    }

    let gaps = gaps(picture, &forward, &layers, count);
    let (mut width, mut height) = layered.place(&gaps);
    // Loops of cards that hear themselves stand above them.
    let loops = back.iter().any(|(id, ..)| picture.links[*id].from == picture.links[*id].to);
    let (head, pad) = if group == 0 { (0.0, 0.0) } else { (BOX_HEAD, BOX_PAD) };
    let head = head + if loops { LOOP } else { 0.0 };
    let rects: Vec<Rect> = members
        .iter()
        .enumerate()
        .map(|(at, _)| {
            let item = layered.items[at];
            Rect {
                x: item.x - item.width / 2.0 + pad,
                y: item.y - item.height / 2.0 + head,
                width: item.width,
                height: item.height,
            }
        })
        .collect();
    let mut found = Inner::default();
    let spot = |point: &usize| {
        let item = layered.items[*point];
        (item.x + pad, item.y + head)
    };
    found.direct.extend(points.iter().map(|(id, points)| (*id, points.iter().map(spot).collect())));
    found.through.extend(passing.iter().map(|(id, points)| (*id, points.iter().map(spot).collect::<Vec<_>>())));

    let bracketed = brackets(picture, members, &layers, &rects, &back, &mut found);
    let lanes = below(picture, members, &rects, &layers, &back, &bracketed, (width + pad, height + head), &mut found);
    height += lanes as f64 * LANE + if lanes > 0 { 10.0 } else { 0.0 };
    height += head + pad;
    width += pad * 2.0;
    if group > 0 {
        width = width.max(width_of_head(&picture.boxes[group]) + pad * 2.0);
    }
    found.places = members.iter().copied().zip(rects).collect();
    found.size = (width, height);
    found.widen(pad);
    found
}

impl Inner {
    /// Makes room at the sides for lines that turn there.
    fn widen(&mut self, pad: f64) {
        let (mut left, mut right) = (0.0_f64, self.size.0);
        for way in self.below.values() {
            if let Way::Below { turns, .. } = way {
                left = left.min(turns.1 - pad.min(10.0));
                right = right.max(turns.0 + pad.min(10.0));
            }
        }
        left = self.brackets.iter().map(|bracket| bracket.x - 22.0).fold(left, f64::min);
        let shift = -left;
        self.size.0 = right + shift;
        self.places.iter_mut().for_each(|(_, rect)| rect.x += shift);
        self.brackets.iter_mut().for_each(|bracket| bracket.x += shift);
        for way in self.below.values_mut() {
            *way = shifted(way, (shift, 0.0));
        }
        for points in self.through.values_mut().chain(self.direct.values_mut()) {
            for point in points.iter_mut() {
                point.0 += shift;
            }
        }
    }
}

fn width_of_head(group: &Group) -> f64 {
    let title = width(&super::svg::box_title(group)) * NAME;
    title.max(width(&short(&group.note, NOTE)) * LINE)
}

/// Space to the right of each layer: more where a label has to fit.
fn gaps(picture: &Picture, forward: &[(usize, usize, usize)], layers: &[usize], count: usize) -> Vec<f64> {
    let mut gaps = vec![SPACE; count];
    for (id, _, to) in forward {
        let label = &picture.links[*id].label;
        if !label.is_empty() && layers[*to] > 0 {
            let gap = &mut gaps[layers[*to] - 1];
            *gap = gap.max(width(&short(label, LETTERS)) * LINE + 46.0);
        }
    }
    gaps
}

/// Members of a layer that all hear each other with the same delay and without conditions.
fn brackets(
    picture: &Picture,
    members: &[Member],
    layers: &[usize],
    rects: &[Rect],
    back: &[(usize, usize, usize)],
    found: &mut Inner,
) -> BTreeSet<usize> {
    let mut groups: BTreeMap<(usize, u32), BTreeSet<(usize, usize)>> = BTreeMap::new();
    for (id, from, to) in back {
        let link = &picture.links[*id];
        if let Kind::Delayed(delay) = link.kind
            && from != to
            && layers[*from] == layers[*to]
            && (link.from, link.to) == (members[*from], members[*to])
            && link.label.is_empty()
        {
            groups.entry((layers[*from], delay)).or_default().insert((*from, *to));
        }
    }
    let mut bracketed = BTreeSet::new();
    for ((_, delay), pairs) in groups {
        let mut ends: BTreeSet<usize> = pairs.iter().map(|pair| pair.0).collect();
        ends.extend(pairs.iter().map(|pair| pair.1));
        if ends.len() < 3 || pairs.len() != ends.len() * (ends.len() - 1) {
            continue;
        }
        bracketed.extend(back.iter().filter(|(_, from, to)| pairs.contains(&(*from, *to))).map(|(id, ..)| *id));
        let ports: Vec<_> = ends.iter().map(|end| port(picture, members[*end], rects[*end])).collect();
        let x = ports.iter().map(|(rect, _)| rect.x).fold(f64::INFINITY, f64::min) - 16.0;
        found.brackets.push(Bracket { x, ends: ports.iter().map(|(_, y)| *y).collect(), delay });
    }
    bracketed
}

/// Links that go back run below everything, each in a lane of its own where they overlap. Returns the number of lanes.
fn below(
    picture: &Picture,
    members: &[Member],
    rects: &[Rect],
    layers: &[usize],
    back: &[(usize, usize, usize)],
    bracketed: &BTreeSet<usize>,
    (_, bottom): Point,
    found: &mut Inner,
) -> usize {
    let mut lanes: Vec<Vec<(f64, f64)>> = Vec::new();
    let right_of = |layer: usize| {
        let same = (0..members.len()).filter(|at| layers[*at] == layer);
        same.map(|at| rects[at].x + rects[at].width).fold(0.0, f64::max)
    };
    let left_of = |layer: usize| {
        let same = (0..members.len()).filter(|at| layers[*at] == layer);
        same.map(|at| rects[at].x).fold(f64::INFINITY, f64::min)
    };
    let mut sorted: Vec<_> = back.iter().filter(|(id, ..)| !bracketed.contains(id)).collect();
    // Short ways get the upper lanes.
    sorted.sort_by_key(|(_, from, to)| layers[*from].abs_diff(layers[*to]));
    for (id, from, to) in sorted {
        let (start, start_y) = port(picture, members[*from], rects[*from]);
        let (end, end_y) = port(picture, members[*to], rects[*to]);
        let own = picture.links[*id].from == picture.links[*id].to;
        if own && matches!(members[*from], Member::Card(_)) {
            found.below.insert(*id, Way::Own(start));
            continue;
        }
        let (right, left) = (right_of(layers[*from]), left_of(layers[*to]));
        let span = (left.min(right), left.max(right));
        let free = |lane: &Vec<(f64, f64)>| lane.iter().all(|used| span.1 + 8.0 < used.0 || used.1 + 8.0 < span.0);
        let lane = lanes.iter().position(free).unwrap_or_else(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(span);
        let aside = 13.0 + lane as f64 * 5.0;
        found.below.insert(
            *id,
            Way::Below {
                start: (start.x + start.width, start_y),
                turns: (right + aside, left - aside),
                lane: bottom + 12.0 + lane as f64 * LANE,
                end: (end.x, end_y),
            },
        );
    }
    lanes.len()
}
