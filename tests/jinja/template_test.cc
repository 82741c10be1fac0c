// The laws that the golden files cannot show: limits, lines of errors, and what is refused.
#include "jinja/template.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::jinja {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<std::string> Render(const std::string& source, const Variables& variables = {},
                                   const Limits& limits = {}) {
  auto made = Template::Parse(source);
  if (!made.ok()) return made.status();
  return (*made)->Render(variables, absl::Now(), limits);
}

void ExpectError(const std::string& source, absl::StatusCode code, const std::string& part,
                 const Limits& limits = {}) {
  const auto text = Render(source, {}, limits);
  EXPECT_EQ(text.status().code(), code) << source << ": " << text.status();
  EXPECT_THAT(std::string(text.status().message()), HasSubstr(part)) << source;
}

std::string Repeat(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(Template, ErrorsNameTheirLine) {
  ExpectError("a\n\n{{ x }}\n{{ x.y }}", absl::StatusCode::kFailedPrecondition,
              "line 4: 'x' is undefined");
  ExpectError("{% if true %}\n{{ 1 +\n 'a' }}{% endif %}", absl::StatusCode::kFailedPrecondition,
              "line 2: ");
  ExpectError("a\n{% for x in y %}\n\n", absl::StatusCode::kInvalidArgument, "line 2: ");
  ExpectError("a\n{{ 'open }}\n\n", absl::StatusCode::kInvalidArgument, "line 2: ");
  ExpectError("\n\n{% macro m(a) %}\n{{ a.b.c }}{% endmacro %}\n\n{{ m({}) }}",
              absl::StatusCode::kFailedPrecondition, "line 4: ");
}

TEST(Template, RaiseExceptionGivesItsWordsAlone) {
  ExpectError("\n{{ raise_exception('only user and ' ~ 'assistant') }}",
              absl::StatusCode::kInvalidArgument, "only user and assistant");
  EXPECT_EQ(Render("{{ raise_exception('x') }}").status().message(), "x");
}

TEST(Template, StepsAreLimited) {
  const std::string loop = "{% for i in range(100000) %}";
  ExpectError(loop + loop + "x{% endfor %}{% endfor %}", absl::StatusCode::kOutOfRange, "steps",
              {.max_steps = 100'000});
  ExpectError("{% set x = [range(100000), range(100000)] %}" + loop +
                  "{{ x == [range(100000), range(100000)] }}{% endfor %}",
              absl::StatusCode::kOutOfRange, "more than", {.max_steps = 10'000'000});
}

TEST(Template, TextsAndTheOutputAreLimited) {
  const Limits limits{.max_output_bytes = 1000, .max_live_bytes = 100'000};
  ExpectError("{{ 'x' * 1001 }}", absl::StatusCode::kOutOfRange, "1001", limits);
  ExpectError("{{ 'x' * 9223372036854775807 }}", absl::StatusCode::kOutOfRange, "limit", limits);
  ExpectError("{% for i in range(200) %}{{ 'xxxxxx' }}{% endfor %}", absl::StatusCode::kOutOfRange,
              "1000", limits);
  ExpectError("{{ '%5000d' % 1 }}", absl::StatusCode::kOutOfRange, "limit", limits);
  ExpectError("{{ 'x'.ljust(5000) }}", absl::StatusCode::kOutOfRange, "limit", limits);
  ExpectError("{{ 'aaaaaaaaaa'.replace('a', 'x' * 500) }}", absl::StatusCode::kOutOfRange, "limit",
              limits);
  ExpectError("{% for i in range(9999) %}{% set x = [i, i, i, i] %}{% endfor %}",
              absl::StatusCode::kOutOfRange, "bytes of values", limits);
  EXPECT_EQ(*Render("{{ 'x' * 1000 }}", {}, limits), std::string(1000, 'x'));
}

TEST(Template, DepthIsLimited) {
  ExpectError("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
              absl::StatusCode::kOutOfRange, "nest deeper");
  ExpectError(
      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
      "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
      absl::StatusCode::kOutOfRange, "nest deeper");
  ExpectError("{{ " + Repeat("(", 5000) + "1" + Repeat(")", 5000) + " }}",
              absl::StatusCode::kInvalidArgument, "nest deeper");
  ExpectError("{{ 1" + Repeat(" + 1", 5000) + " }}", absl::StatusCode::kInvalidArgument, "levels");
  ExpectError("{{ " + Repeat("not ", 5000) + "1 }}", absl::StatusCode::kInvalidArgument,
              "nest deeper");
  ExpectError("{{ x" + Repeat(".a", 5000) + " }}", absl::StatusCode::kInvalidArgument, "levels");
  ExpectError("{{ x" + Repeat("|e", 5000) + " }}", absl::StatusCode::kInvalidArgument, "levels");
  ExpectError(Repeat("{% if 1 %}", 5000) + Repeat("{% endif %}", 5000),
              absl::StatusCode::kInvalidArgument, "nest deeper");
  // Long is not deep.
  const std::string elifs = "{% if 0 %}" + Repeat("{% elif 0 %}", 5000) + "{% endif %}";
  EXPECT_EQ(*Render(elifs), "");
  EXPECT_EQ(*Render("{{ [" + Repeat("1, ", 5000) + "]|sum }}"), "5000");
}

// What shares its parts is not walked through as often as they are met.
TEST(Template, SharedPartsCannotMakeAValueEndless) {
  ExpectError(
      "{% set ns = namespace(x=['a', 'b']) %}{% for i in range(60) %}"
      "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      absl::StatusCode::kOutOfRange, "parts");
}

TEST(Template, NamespacesMayHoldThemselves) {
  EXPECT_EQ(
      *Render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.all = [ns, {'n': ns}] %}"
              "{{ ns.me.me.all|length }}"),
      "2");
  EXPECT_EQ(*Render("{% set ns = namespace() %}{% for i in [1, 2] %}{% set ns.loop = loop %}"
                    "{% macro f() %}{{ i }}{% endmacro %}{% set ns.f = f %}{% endfor %}"
                    "{{ ns.f() }}{{ ns.loop.index }}{{ ns.loop.last }}"),
            "22True");
}

TEST(Template, IntegersHave64Bits) {
  ExpectError("{{ 9223372036854775807 + 1 }}", absl::StatusCode::kFailedPrecondition, "64 bits");
  ExpectError("{{ 10 ** 100 }}", absl::StatusCode::kFailedPrecondition, "64 bits");
  ExpectError("{{ (-9223372036854775807 - 1) // -1 }}", absl::StatusCode::kFailedPrecondition,
              "64 bits");
  EXPECT_EQ(*Render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(*Render("{{ (-9223372036854775807 - 1) // 3 }}"), "-3074457345618258603");
  ExpectError("{{ 9223372036854775808 }}", absl::StatusCode::kInvalidArgument, "out of range");
}

TEST(Template, WhatIsNotSupportedSaysSo) {
  for (const char* source :
       {"{% include 'x' %}", "{% extends 'x' %}", "{% block b %}{% endblock %}",
        "{% import 'x' as y %}", "{% call f() %}{% endcall %}", "{% do x.append(1) %}",
        "{% for x in y recursive %}{% endfor %}", "{{ f(*x) }}", "{{ f(**x) }}"}) {
    const auto made = Template::Parse(source);
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << source << made.status();
    EXPECT_THAT(std::string(made.status().message()), StartsWith("line 1: ")) << source;
  }
}

TEST(Template, NewlinesOfAllKindsAreOne) {
  EXPECT_EQ(*Render("a\r\nb\rc\n{% if 1 %}\r\nd{% endif %}\r\n"), "a\nb\nc\nd");
  EXPECT_EQ(*Render("a\n\n"), "a\n");
}

TEST(Template, ValuesGivenStayWhatTheyAre) {
  const Variables variables = {{"x", ListOf({Value(int64_t{1}), Value("a")})},
                               {"d", DictOf({{"k", true}, {"f", 1.5}})},
                               {"range", Value("mine")}};
  EXPECT_EQ(*Render("{{ x }}{{ d }}{{ range }}{% set x = 2 %}{{ x }}", variables),
            "[1, 'a']{'k': True, 'f': 1.5}mine2");
  EXPECT_EQ(*Render("{{ x }}", variables), "[1, 'a']");
}

TEST(Template, TimeIsTheOneGiven) {
  const auto made = Template::Parse("{{ strftime_now('%Y-%m-%d') }}");
  const absl::Time time =
      absl::FromCivil(absl::CivilSecond(2031, 2, 3, 4, 5, 6), absl::LocalTimeZone());
  EXPECT_EQ(*(*made)->Render({}, time), "2031-02-03");
}

}  // namespace
}  // namespace quire::jinja
