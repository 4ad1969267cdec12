// The helpers of llama.cpp's common.h that its conversion uses; the rest of that
// library is not linked.
#include <string>
#include <vector>

std::string string_repeat(const std::string & s, size_t n) {
    std::string out;
    while (n-- > 0) out += s;
    return out;
}

std::string string_join(const std::vector<std::string> & values, const std::string & separator) {
    std::string out;
    for (size_t i = 0; i < values.size(); i++) out += (i > 0 ? separator : "") + values[i];
    return out;
}

std::vector<std::string> string_split(const std::string & s, const std::string & delimiter) {
    std::vector<std::string> out;
    size_t from = 0;
    for (size_t at; (at = s.find(delimiter, from)) != std::string::npos; from = at + delimiter.size()) {
        out.push_back(s.substr(from, at - from));
    }
    out.push_back(s.substr(from));
    return out;
}
