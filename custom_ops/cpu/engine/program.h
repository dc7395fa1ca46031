// The text of a deployed network: one step a line, `op out key=value ...`. See Program in ppeffconv/deployed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "common/checks.h"
#include "cpu/engine/types.h"

namespace ppeffconv::engine {

constexpr int kVersion = 1;

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// One step. Keys that were asked for are remembered: what is left over is a key that this engine does not know.
class Step {
 public:
  std::string op, out, text;
  mutable std::map<std::string, std::string> left;

  bool has(const std::string& key) const { return values_.count(key) > 0; }
  std::string word(const std::string& key, const std::string& otherwise = "") const {
    left.erase(key);
    const auto found = values_.find(key);
    return found == values_.end() ? otherwise : found->second;
  }
  std::vector<std::string> words(const std::string& key) const { return split(word(key), ','); }
  int64_t required(const std::string& key) const {
    PD_CHECK(has(key), "deployed: '", key, "' is missing in: ", text);
    return number(key, 0);
  }
  int64_t number(const std::string& key, int64_t otherwise) const {
    return has(key) ? to_number(word(key)) : (word(key), otherwise);
  }
  double real(const std::string& key, double otherwise) const {
    if (!has(key)) return word(key), otherwise;
    const std::string value = word(key);
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    PD_CHECK(!value.empty() && *end == 0 && std::isfinite(number) && std::fabs(number) < 1e30, "deployed: '", value,
             "' is not a number in: ", text);
    return number;
  }
  std::vector<int64_t> pair(const std::string& key, int64_t otherwise) const {
    if (!has(key)) return word(key), std::vector<int64_t>{otherwise, otherwise};
    std::vector<int64_t> numbers;
    for (const std::string& each : words(key)) numbers.push_back(to_number(each));
    PD_CHECK(numbers.size() == 2, "deployed: '", key, "' must be two numbers in: ", text);
    return numbers;
  }
  Act act() const {
    static const std::map<std::string, Act> acts{
        {"none", Act::kNone},
        {"relu", Act::kRelu},
        {"relu6", Act::kRelu6},
        {"hardsigmoid", Act::kHardsigmoid},
        {"hardswish", Act::kHardswish},
        {"sigmoid", Act::kSigmoid},
        {"swish", Act::kSwish},
    };
    const std::string name = word("act", "none");
    const auto found = acts.find(name);
    PD_CHECK(found != acts.end(), "deployed: no activation '", name, "': ", text);
    return found->second;
  }
  void check_known() const {
    if (!left.empty()) PD_THROW("deployed: unknown key '", left.begin()->first, "' in: ", text);
  }

  static Step parse(const std::string& line) {
    Step step;
    step.text = line;
    const std::vector<std::string> tokens = split(line, ' ');
    PD_CHECK(tokens.size() >= 2, "deployed: not a step: ", line);
    step.op = tokens[0], step.out = tokens[1];
    for (size_t i = 2; i < tokens.size(); ++i) {
      const size_t equals = tokens[i].find('=');
      PD_CHECK(equals != std::string::npos, "deployed: expected key=value, got '", tokens[i], "' in: ", line);
      const bool first = step.values_.emplace(tokens[i].substr(0, equals), tokens[i].substr(equals + 1)).second;
      PD_CHECK(first, "deployed: '", tokens[i].substr(0, equals), "' stands twice in: ", line);
    }
    step.left = step.values_;
    return step;
  }

 private:
  int64_t to_number(const std::string& value) const {
    char* end = nullptr;
    const int64_t number = std::strtoll(value.c_str(), &end, 10);
    PD_CHECK(!value.empty() && *end == 0 && std::llabs(number) < (int64_t{1} << 40), "deployed: '", value,
             "' is not a number in: ", text);
    return number;
  }
  std::map<std::string, std::string> values_;
};

struct Program {
  bool bfloat = false, flat = false;
  int64_t seed = 0, channels = 0;
  std::string input;
  std::vector<Step> steps;
  std::vector<std::string> outputs;

  static Program parse(const std::string& text) {
    Program program;
    std::vector<std::string> lines = split(text, '\n');
    PD_CHECK(lines.size() >= 3, "deployed: the program is cut off");
    program.read_header(lines[0]);
    const std::vector<std::string> input = split(lines[1], ' '), output = split(lines.back(), ' ');
    PD_CHECK(input.size() == 3 && input[0] == "input", "deployed: expected 'input NAME CHANNELS', got: ", lines[1]);
    PD_CHECK(output.size() >= 2 && output[0] == "output", "deployed: expected 'output NAMES', got: ", lines.back());
    program.input = input[1], program.channels = whole(input[2], lines[1]);
    PD_CHECK(program.channels > 0, "deployed: the input needs channels: ", lines[1]);
    program.outputs = split(output[1], ',');
    program.flat = output.size() == 3;
    PD_CHECK(output.size() == 2 || (program.flat && output[2] == "flat=1"),
             "deployed: unknown words in: ", lines.back());
    for (size_t i = 2; i + 1 < lines.size(); ++i) program.steps.push_back(Step::parse(lines[i]));
    return program;
  }

 private:
  void read_header(const std::string& line) {
    const std::vector<std::string> words = split(line, ' ');
    PD_CHECK(words.size() == 4 && words[0] == "ppeffconv-program", "deployed: not a program: ", line);
    PD_CHECK(words[1] == std::to_string(kVersion), "deployed: the program has version ", words[1],
             ", this engine runs version ", kVersion, ": export the network again with this release");
    PD_CHECK(words[2] == "float32" || words[2] == "bfloat16", "deployed: unknown type ", words[2]);
    PD_CHECK(words[3].rfind("seed=", 0) == 0, "deployed: expected seed=NUMBER, got ", words[3]);
    bfloat = words[2] == "bfloat16";
    seed = whole(words[3].substr(5), line);
  }
  static int64_t whole(const std::string& value, const std::string& line) {
    char* end = nullptr;
    const int64_t number = std::strtoll(value.c_str(), &end, 10);
    PD_CHECK(!value.empty() && *end == 0 && number >= 0 && number < (int64_t{1} << 40), "deployed: '", value,
             "' is not a number >= 0 in: ", line);
    return number;
  }
};

}  // namespace ppeffconv::engine
