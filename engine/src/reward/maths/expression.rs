//! Evaluates plain arithmetic: numbers, `+ - * /`, powers, brackets, `\frac`, `\sqrt`, `pi`. Exact as long as it can be.

/// Longest text that is evaluated, in bytes. Every byte costs at most one operation on 128-bit integers, so this and
/// [`DEEPEST`] bound the time and the stack of an evaluation, whatever the text.
pub const LONGEST: usize = 1 << 15;

/// Deepest nesting that is evaluated: brackets, and signs in exponents and roots.
pub const DEEPEST: usize = 32;

/// Why a text has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no plain arithmetic, or its value is no finite number.
    #[error("is no arithmetic")]
    NoValue,
    /// It is longer than is evaluated.
    #[error("has {length} bytes, and at most {LONGEST} are evaluated")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It nests deeper than is evaluated.
    #[error("nests deeper than {DEEPEST} levels")]
    TooDeep,
}

/// The value of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A fraction in lowest terms with a positive denominator.
    Exact {
        /// Numerator.
        over: i128,
        /// Denominator, above 0.
        under: i128,
    },
    /// A decimal that is not exact: roots, pi, overflow.
    Decimal(f64),
}

impl Number {
    fn exact(over: i128, under: i128) -> Option<Self> {
        if under == 0 {
            return None;
        }
        let divisor = gcd(over.unsigned_abs(), under.unsigned_abs()).max(1);
        let sign = if under < 0 { -1 } else { 1 };
        let divisor = i128::try_from(divisor).ok()?;
        Some(Self::Exact { over: sign * over / divisor, under: sign * under / divisor })
    }

    /// The nearest 64-bit float.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Exact { over, under } => over as f64 / under as f64,
            Self::Decimal(value) => value,
        }
    }

    fn combine(
        self,
        other: Self,
        exact: impl Fn(i128, i128, i128, i128) -> Option<(i128, i128)>,
        decimal: impl Fn(f64, f64) -> f64,
    ) -> Option<Self> {
        if let (Self::Exact { over: a, under: b }, Self::Exact { over: c, under: d }) = (self, other)
            && let Some((over, under)) = exact(a, b, c, d)
        {
            return Self::exact(over, under);
        }
        Some(decimal(self.to_f64(), other.to_f64())).filter(|value| value.is_finite()).map(Self::Decimal)
    }

    fn add(self, other: Self) -> Option<Self> {
        let exact = |a: i128, b: i128, c: i128, d: i128| {
            Some((a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?, b.checked_mul(d)?))
        };
        self.combine(other, exact, |a, b| a + b)
    }

    fn multiply(self, other: Self) -> Option<Self> {
        self.combine(other, |a, b, c, d| Some((a.checked_mul(c)?, b.checked_mul(d)?)), |a, b| a * b)
    }

    fn divide(self, other: Self) -> Option<Self> {
        self.combine(other, |a, b, c, d| Some((a.checked_mul(d)?, b.checked_mul(c)?)), |a, b| a / b)
    }

    fn power(self, other: Self) -> Option<Self> {
        let exact = |a: i128, b: i128, c: i128, d: i128| {
            let exponent = u32::try_from(c.unsigned_abs()).ok().filter(|_| d == 1)?;
            let (over, under) = (a.checked_pow(exponent)?, b.checked_pow(exponent)?);
            Some(if c < 0 { (under, over) } else { (over, under) })
        };
        self.combine(other, exact, f64::powf)
    }

    fn square_root(self) -> Option<Self> {
        if let Self::Exact { over, under } = self
            && let (Some(over), Some(under)) = (whole_root(over), whole_root(under))
        {
            return Self::exact(over, under);
        }
        Some(self.to_f64().sqrt()).filter(|root| root.is_finite()).map(Self::Decimal)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn whole_root(value: i128) -> Option<i128> {
    let root = (value as f64).sqrt().round() as i128;
    (value >= 0 && root.checked_mul(root) == Some(value)).then_some(root)
}

/// The value of simplified text.
///
/// ```
/// use marft_engine::reward::maths::expression::{Refusal, evaluate};
/// assert_eq!(evaluate(r"\frac{1}{2}+1").map(|n| n.to_f64()), Ok(1.5));
/// assert_eq!(evaluate("x+1"), Err(Refusal::NoValue));
/// ```
///
/// # Errors
/// It is no plain arithmetic, or larger than what is evaluated.
pub fn evaluate(text: &str) -> Result<Number, Refusal> {
    if text.len() > LONGEST {
        return Err(Refusal::TooLong { length: text.len() });
    }
    let mut reader = Reader { text, depth: 0 };
    let value = reader.sum().filter(|_| reader.text.is_empty());
    value.ok_or(if reader.depth > DEEPEST { Refusal::TooDeep } else { Refusal::NoValue })
}

/// A recursive-descent reader; `depth` keeps hostile nesting off the stack. Where it gives up it leaves the depth as it was.
struct Reader<'a> {
    text: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        let found = self.text.strip_prefix(token);
        self.text = found.unwrap_or(self.text);
        found.is_some()
    }

    /// Reads what stands one level deeper.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Option<Number>) -> Option<Number> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = read(self)?;
        self.depth -= 1;
        Some(value)
    }

    fn sum(&mut self) -> Option<Number> {
        self.deeper(Self::terms)
    }

    fn terms(&mut self) -> Option<Number> {
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value = value.add(self.product()?)?;
            } else if self.take("-") {
                value = value.add(self.product()?.multiply(Number::Exact { over: -1, under: 1 })?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<Number> {
        let mut value = self.signed()?;
        loop {
            if self.take("*") {
                value = value.multiply(self.signed()?)?;
            } else if self.take("/") {
                value = value.divide(self.signed()?)?;
            } else if self.text.starts_with(['(', '\\']) || self.text.starts_with("pi") {
                // 2\sqrt{3}, 3(4), 2pi: a product without a sign
                value = value.multiply(self.power()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<Number> {
        let mut sign = 1;
        loop {
            if self.take("-") {
                sign = -sign;
            } else if !self.take("+") {
                return self.power()?.multiply(Number::Exact { over: sign, under: 1 });
            }
        }
    }

    fn power(&mut self) -> Option<Number> {
        let base = self.atom()?;
        if !self.take("^") {
            return Some(base);
        }
        let exponent = self.argument()?;
        base.power(exponent)
    }

    fn atom(&mut self) -> Option<Number> {
        if self.take("(") {
            let value = self.sum()?;
            return self.take(")").then_some(value);
        }
        if self.take("pi") {
            return Some(Number::Decimal(std::f64::consts::PI));
        }
        if self.take("\\frac") {
            let over = self.argument()?;
            return over.divide(self.argument()?);
        }
        if self.take("\\sqrt") {
            return self.argument()?.square_root();
        }
        self.number()
    }

    /// `{…}`, or the single digit that TeX takes where there are no braces: `\frac12`.
    fn argument(&mut self) -> Option<Number> {
        if self.take("{") {
            let value = self.sum()?;
            return self.take("}").then_some(value);
        }
        if self.text.starts_with('-') {
            return self.deeper(Self::signed);
        }
        let digit = self.text.chars().next()?.to_digit(10)?;
        self.text = &self.text[1..];
        Number::exact(i128::from(digit), 1)
    }

    fn number(&mut self) -> Option<Number> {
        let length = self.text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (spelled, rest) = self.text.split_at(length);
        let (whole, fraction) = spelled.split_once('.').unwrap_or((spelled, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        self.text = rest;
        let digits: Option<i128> = format!("0{whole}{fraction}").parse().ok();
        let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_i128.checked_pow(places));
        match (digits, scale) {
            (Some(digits), Some(scale)) => Number::exact(digits, scale),
            _ => spelled.parse().ok().filter(|value: &f64| value.is_finite()).map(Number::Decimal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        evaluate(text).map(Number::to_f64).ok()
    }

    #[test]
    fn arithmetic() {
        assert_eq!(evaluate("1/3+1/6"), Ok(Number::Exact { over: 1, under: 2 }));
        assert_eq!(value("2*(3+4)-5"), Some(9.0));
        assert_eq!(value("--3"), Some(3.0));
        assert_eq!(value("2^{10}"), Some(1024.0));
        assert_eq!(value("2^-1"), Some(0.5));
        assert_eq!(value(r"\sqrt{\frac{4}{9}}"), Some(2.0 / 3.0));
        assert_eq!(value(r"\frac12"), Some(0.5));
        assert_eq!(value("0.1"), Some(0.1));
        assert_eq!(value("2pi"), Some(2.0 * std::f64::consts::PI));
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "x", "1+", "(1", "1/0", "1.2.3", ".", r"\frac{1}", "1 2", "e5", "9^{9^9}9"] {
            assert_eq!(evaluate(text), Err(Refusal::NoValue), "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_by_name() {
        for (open, close) in [("(", ")"), ("2^{", "}"), ("\\sqrt{", "}"), ("2^-", ""), ("\\sqrt-", "")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_ne!(evaluate(&nested(20)), Err(Refusal::TooDeep), "{open}");
            assert_eq!(evaluate(&nested(4_000)), Err(Refusal::TooDeep), "{open}");
            let vast = nested(1 << 19);
            assert_eq!(evaluate(&vast), Err(Refusal::TooLong { length: vast.len() }));
        }
        assert_eq!(evaluate(&"9".repeat(1 << 20)), Err(Refusal::TooLong { length: 1 << 20 }));
    }

    #[test]
    fn overflow_becomes_decimal_or_nothing() {
        assert!(matches!(evaluate("10^{30}*10^{30}"), Ok(Number::Decimal(_))));
        assert_eq!(value(&format!("1{}", "0".repeat(50))), Some(1e50));
        assert_eq!(evaluate(&"9".repeat(400)), Err(Refusal::NoValue), "what is infinite equals nothing");
    }
}
