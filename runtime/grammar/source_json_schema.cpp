#include "json-schema.cpp"
