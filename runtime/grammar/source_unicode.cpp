#include "unicode.cpp"
