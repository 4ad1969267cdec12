// Keeping clients' statements out of the data directory, also where it lies below
// an allowed one: DuckDB's list of allowed directories knows no exception.
#pragma once
#include "hsop.h"
#include "duckdb.hpp"
#include "duckdb/common/file_opener.hpp"
#include "duckdb/common/local_file_system.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include <climits>
#include <cstdlib>

using namespace duckdb;

namespace {
// The local file system for paths below dir. DuckDB's own files there begin with
// own; they are opened without a client's context.
class GuardedDirectory : public LocalFileSystem {
public:
	GuardedDirectory(string dir, string own) : dir(std::move(dir)), own(std::move(own)) {
	}

	bool CanHandleFile(const string &path) override {
		return Inside(Resolve(path, nullptr, false)) || Inside(Resolve(path, nullptr, true));
	}
	std::string GetName() const override {
		return "HyprstreamDataDirectory";
	}

	unique_ptr<FileHandle> OpenFile(const string &path, FileOpenFlags flags, optional_ptr<FileOpener> opener) override {
		Check(path, opener);
		return LocalFileSystem::OpenFile(path, flags, opener);
	}
	void CreateDirectory(const string &path, optional_ptr<FileOpener> opener) override {
		Check(path, opener);
		LocalFileSystem::CreateDirectory(path, opener);
	}
	void RemoveDirectory(const string &path, optional_ptr<FileOpener> opener) override {
		Check(path, opener);
		LocalFileSystem::RemoveDirectory(path, opener);
	}
	void RemoveFile(const string &path, optional_ptr<FileOpener> opener) override {
		Check(path, opener);
		LocalFileSystem::RemoveFile(path, opener);
	}
	void MoveFile(const string &source, const string &target, optional_ptr<FileOpener> opener) override {
		Check(source, opener);
		Check(target, opener);
		LocalFileSystem::MoveFile(source, target, opener);
	}

private:
	bool Inside(const string &p) {
		return p == dir || StringUtil::StartsWith(p, dir + "/");
	}
	// a/x/../b as a/b, whether or not x is there or is a link: globs do so.
	static string Shorten(const string &path) {
		vector<string> parts;
		for (auto &part : StringUtil::Split(path, '/')) {
			if (part == ".." && !parts.empty()) {
				parts.pop_back();
			} else if (!part.empty() && part != "." && part != "..") {
				parts.push_back(part);
			}
		}
		return "/" + StringUtil::Join(parts, "/");
	}
	// Links are followed as far as the path exists.
	string Resolve(const string &path, optional_ptr<FileOpener> opener, bool shorten) {
		auto p = path;
		for (auto scheme : {"file://localhost/", "file:///", "file:/"}) {
			if (StringUtil::StartsWith(p, scheme)) {
				p = p.substr(strlen(scheme) - 1);
				break;
			}
		}
		p = LocalFileSystem::MakePathAbsolute(p, opener);
		if (shorten) {
			p = Shorten(p);
		}
		string rest;
		char buf[PATH_MAX];
		while (true) {
			if (realpath(p.c_str(), buf)) {
				string r(buf);
				return rest.empty() ? r : (r == "/" ? "/" + rest : r + "/" + rest);
			}
			auto cut = p.find_last_of('/');
			if (cut == string::npos || cut == 0) {
				return path;
			}
			auto last = p.substr(cut + 1);
			if (!last.empty() && last != ".") {
				rest = rest.empty() ? last : last + "/" + rest;
			}
			p = p.substr(0, cut);
		}
	}
	void Check(const string &path, optional_ptr<FileOpener> opener) {
		if (!FileOpener::TryGetClientContext(opener) && StringUtil::StartsWith(Resolve(path, opener, false), own) &&
		    StringUtil::StartsWith(Resolve(path, opener, true), own)) {
			return;
		}
		throw PermissionException("\"%s\" belongs to the database: statements cannot read or write it", path);
	}

	const string dir;
	const string own;
};
} // namespace

extern "C" int hs_guard(void *dbp, const char *dir, const char *own, char *err, size_t errlen) {
	try {
		auto &db = *reinterpret_cast<DatabaseWrapper *>(dbp)->database->instance;
		DBConfig::GetConfig(db).file_system->RegisterSubSystem(make_uniq<GuardedDirectory>(dir, own));
		return 0;
	} catch (std::exception &e) {
		snprintf(err, errlen, "%s", e.what());
	} catch (...) {
		snprintf(err, errlen, "unknown C++ exception");
	}
	return 1;
}
