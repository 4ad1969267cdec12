#include "trie.cpp"
