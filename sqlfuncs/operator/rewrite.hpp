// Where the operator goes. A call at the top of a projection travels upward as a
// packed request in the place of its answer, past everything that only moves rows
// (TopN, LIMIT, filters, joins), and is answered where something first needs it;
// a call inside an expression is answered below that expression. What is not
// handled here stays where it is and runs in place.
#pragma once
#include "pack.hpp"
#include "aggregate.hpp"
#include "duckdb.hpp"
#include "duckdb/optimizer/optimizer_extension.hpp"
#include "estimate.hpp"
#include "extract.hpp"
#include "inference.hpp"
#include "join.hpp"
#include "search.hpp"
#include "duckdb/optimizer/optimizer.hpp"
#include "duckdb/planner/binder.hpp"
#include "duckdb/planner/expression/bound_columnref_expression.hpp"
#include "duckdb/planner/expression_iterator.hpp"
#include "duckdb/planner/logical_operator_visitor.hpp"
#include "duckdb/planner/operator/logical_aggregate.hpp"
#include "duckdb/planner/operator/logical_comparison_join.hpp"
#include "duckdb/planner/operator/logical_filter.hpp"
#include "duckdb/planner/operator/logical_order.hpp"
#include "duckdb/planner/operator/logical_projection.hpp"
#include "duckdb/planner/operator/logical_window.hpp"

namespace hyprstream {
//! The optimizer hook: lifts calls out of expressions into LogicalInference.
void Rewrite(duckdb::OptimizerExtensionInput &input, duckdb::unique_ptr<duckdb::LogicalOperator> &plan);

struct Rewriter {
	Optimizer &optimizer;
	//! A column that still holds requests, and whose.
	struct Request {
		ColumnBinding column;
		Called call;
	};
	typedef vector<Request> Deferred;

	static bool Uses(LogicalOperator &op, const ColumnBinding &b) {
		bool r = false;
		LogicalOperatorVisitor::EnumerateExpressions(
		    op, [&](unique_ptr<Expression> *e) { r = r || References(**e, b); });
		return r;
	}
	static bool HasCalls(LogicalOperator &op) {
		bool r = false;
		LogicalOperatorVisitor::EnumerateExpressions(op,
		                                             [&](unique_ptr<Expression> *e) { r = r || HasLiftable(**e); });
		return r;
	}
	//! How many rows are expected; 0 stands for not set, above a LIMIT.
	idx_t Rows(LogicalOperator &op) {
		auto n = op.EstimateCardinality(optimizer.context);
		return n == 0 && op.children.size() == 1 ? Rows(*op.children[0]) : n;
	}
	unique_ptr<LogicalInference> Wrap(unique_ptr<LogicalOperator> child) {
		auto r = make_uniq<LogicalInference>();
		r->SetEstimatedCardinality(Rows(*child));
		r->children.push_back(std::move(child));
		return r;
	}
	//! Answers the deferred columns of child, which something above is about to read.
	void Force(unique_ptr<LogicalOperator> &child, Deferred &d) {
		if (d.empty()) {
			return;
		}
		auto w = Wrap(std::move(child));
		w->table_index = optimizer.binder.GenerateTableIndex();
		for (auto &r : d) {
			w->forced.push_back(r.column);
			w->calls.push_back(r.call);
		}
		d.clear();
		child = std::move(w);
	}
	//! Lifts the calls in op's expressions below op, one operator per level of nesting.
	void LiftBelow(LogicalOperator &op) {
		while (true) {
			auto ti = optimizer.binder.GenerateTableIndex();
			vector<unique_ptr<Expression>> requests;
			vector<Called> calls;
			const bool predicate = op.type == LogicalOperatorType::LOGICAL_FILTER;
			LogicalOperatorVisitor::EnumerateExpressions(
			    op, [&](unique_ptr<Expression> *e) { Extract(*e, ti, requests, calls, nullptr, predicate); });
			if (requests.empty()) {
				return;
			}
			InferBelow(op.children[0], ti, std::move(requests), std::move(calls));
		}
	}
	void InferBelow(unique_ptr<LogicalOperator> &child, idx_t ti, vector<unique_ptr<Expression>> requests,
	                vector<Called> calls) {
		auto w = Wrap(std::move(child));
		w->table_index = ti;
		w->calls = std::move(calls);
		w->expressions = std::move(requests);
		child = std::move(w);
	}

	//! What a predicate costs a row, against how many rows it takes away.
	double Rank(const Expression &e) {
		double cost = 0, passes = 0.5;
		std::function<void(const Expression &)> count = [&](const Expression &x) {
			if (IsCall(x)) {
				double yes = 0.5;
				cost += CallCost(x, yes);
				if (&x == &e) {
					passes = yes;
				} else if (IsNot(e, x)) {
					passes = 1 - yes;
				}
			}
			ExpressionIterator::EnumerateChildren(x, count);
		};
		count(e);
		return cost / (1.01 - passes);
	}
	static bool IsNot(const Expression &e, const Expression &x) {
		return e.GetExpressionType() == ExpressionType::OPERATOR_NOT &&
		       e.Cast<BoundOperatorExpression>().children[0].get() == &x;
	}

	static unique_ptr<LogicalFilter> FilterOver(unique_ptr<LogicalOperator> child) {
		auto f = make_uniq<LogicalFilter>();
		if (child->has_estimated_cardinality) {
			f->SetEstimatedCardinality(child->estimated_cardinality);
		}
		f->children.push_back(std::move(child));
		return f;
	}
	//! Columns that op has beside those are not seen above it.
	static unique_ptr<LogicalOperator> Hide(unique_ptr<LogicalOperator> op, const vector<ColumnBinding> &shown) {
		auto now = op->GetColumnBindings();
		if (now == shown) {
			return op;
		}
		auto f = FilterOver(std::move(op));
		for (auto &b : shown) {
			f->projection_map.push_back(std::find(now.begin(), now.end(), b) - now.begin());
		}
		return std::move(f);
	}

	//! What needs no model comes first; of what does, the predicates that take most
	//! rows away for their cost: each is asked only for what those before it let through.
	void OrderFilter(LogicalFilter &f, const Deferred &dear_columns) {
		vector<unique_ptr<Expression>> cheap;
		vector<std::pair<double, unique_ptr<Expression>>> dear;
		for (auto &e : f.expressions) {
			bool waits = false;
			for (auto &b : dear_columns) {
				waits = waits || References(*e, b.column);
			}
			if (HasLiftable(*e) || IsCall(*e) || waits) {
				double rank = waits ? 50 : Rank(*e); // a deferred column is a generated text, most often
				dear.emplace_back(rank, std::move(e));
			} else {
				cheap.push_back(std::move(e));
			}
		}
		std::stable_sort(dear.begin(), dear.end(), [](const std::pair<double, unique_ptr<Expression>> &a,
		                                              const std::pair<double, unique_ptr<Expression>> &b) {
			return a.first < b.first;
		});
		f.expressions.clear();
		auto &input = f.children[0];
		auto shown = input->GetColumnBindings();
		if (!cheap.empty()) {
			auto lower = FilterOver(std::move(input));
			lower->expressions = std::move(cheap);
			input = std::move(lower);
		}
		auto waiting = dear_columns;
		for (auto &d : dear) {
			auto lower = FilterOver(std::move(input));
			lower->expressions.push_back(std::move(d.second));
			Deferred now, later;
			for (auto &b : waiting) {
				(Uses(*lower, b.column) ? now : later).push_back(b);
			}
			Force(lower->children[0], now);
			waiting = std::move(later);
			LiftBelow(*lower);
			input = Hide(std::move(lower), shown);
		}
	}

	//! Operators whose output is their child's rows: fewer, more, or in another order.
	Deferred VisitPassing(unique_ptr<LogicalOperator> &op, Deferred &below) {
		Deferred up, now;
		for (auto &b : below) {
			(Uses(*op, b.column) ? now : up).push_back(b);
		}
		if (op->type == LogicalOperatorType::LOGICAL_FILTER && (HasCalls(*op) || !now.empty())) {
			auto &f = op->Cast<LogicalFilter>();
			OrderFilter(f, now);
			auto r = StillThere(*op, up);
			if (!f.HasProjectionMap()) {
				op = std::move(op->children[0]);
			}
			return r;
		}
		Force(op->children[0], now);
		if (HasCalls(*op) &&
		    (op->type == LogicalOperatorType::LOGICAL_ORDER_BY || op->type == LogicalOperatorType::LOGICAL_WINDOW)) {
			auto shown = op->GetColumnBindings();
			LiftBelow(*op);
			op = Hide(std::move(op), shown);
		}
		return StillThere(*op, up);
	}
	//! The deferred columns that op hands on.
	static Deferred StillThere(LogicalOperator &op, const Deferred &d) {
		Deferred r;
		auto out = op.GetColumnBindings();
		for (auto &b : d) {
			if (std::find(out.begin(), out.end(), b.column) != out.end()) {
				r.push_back(b);
			}
		}
		return r;
	}

	Deferred VisitJoin(unique_ptr<LogicalOperator> &op, vector<Deferred> &below) {
		auto shown = op->GetColumnBindings();
		Deferred up;
		for (idx_t i = 0; i < 2; i++) {
			Deferred now;
			for (auto &b : below[i]) {
				(Uses(*op, b.column) ? now : up).push_back(b);
			}
			Force(op->children[i], now);
		}
		// A condition's sides are each computed for the rows of one input, before the join.
		auto &join = op->Cast<LogicalComparisonJoin>();
		bool lifted = false;
		for (idx_t i = 0; i < 2; i++) {
			lifted = LiftSide(join, i) || lifted;
		}
		auto r = StillThere(*op, up);
		if (lifted) {
			op = Hide(std::move(op), shown);
		}
		return r;
	}
	bool LiftSide(LogicalComparisonJoin &join, idx_t side) {
		bool any = false;
		while (true) {
			auto ti = optimizer.binder.GenerateTableIndex();
			vector<unique_ptr<Expression>> requests;
			vector<Called> calls;
			for (auto &c : join.conditions) {
				Extract(side == 0 ? c.left : c.right, ti, requests, calls);
			}
			if (requests.empty()) {
				return any;
			}
			InferBelow(join.children[side], ti, std::move(requests), std::move(calls));
			any = true;
		}
	}

	Deferred VisitProjection(LogicalProjection &p, Deferred &below) {
		Deferred now, up;
		for (auto &b : below) {
			bool computed = false;
			for (auto &e : p.expressions) {
				computed = computed ||
				           (e->GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF && References(*e, b.column));
			}
			if (computed) {
				now.push_back(b);
				continue;
			}
			for (idx_t i = 0; i < p.expressions.size(); i++) {
				if (References(*p.expressions[i], b.column)) {
					p.expressions[i]->return_type = LogicalType::VARCHAR; // the request, not the answer
					up.push_back({ColumnBinding(p.table_index, i), b.call});
				}
			}
		}
		Force(p.children[0], now);
		// The outermost call of a column stays, as a request; what is inside it is answered below.
		vector<bool> outermost(p.expressions.size());
		for (idx_t i = 0; i < p.expressions.size(); i++) {
			outermost[i] = IsLiftable(*p.expressions[i]);
		}
		LiftNested(p, outermost);
		for (idx_t i = 0; i < p.expressions.size(); i++) {
			if (outermost[i] && !IsNested(*p.expressions[i])) {
				up.push_back({ColumnBinding(p.table_index, i), ToRequest(*p.expressions[i])});
			}
		}
		return up;
	}
	void LiftNested(LogicalProjection &p, const vector<bool> &outermost) {
		while (true) {
			auto ti = optimizer.binder.GenerateTableIndex();
			vector<unique_ptr<Expression>> requests;
			vector<Called> calls;
			for (idx_t i = 0; i < p.expressions.size(); i++) {
				auto &e = p.expressions[i];
				if (!outermost[i]) {
					Extract(e, ti, requests, calls);
				} else if (IsNested(*e)) {
					ExpressionIterator::EnumerateChildren(
					    *e, [&](unique_ptr<Expression> &c) { Extract(c, ti, requests, calls); });
				}
			}
			if (requests.empty()) {
				return;
			}
			InferBelow(p.children[0], ti, std::move(requests), std::move(calls));
		}
	}

	//! An inner join with a dear condition is a filter over pairs.
	Deferred VisitAnyJoin(unique_ptr<LogicalOperator> &op, vector<Deferred> &below) {
		for (idx_t i = 0; i < 2; i++) {
			Force(op->children[i], below[i]);
		}
		Deferred none;
		return RewriteAnyJoin(optimizer.GetContext(), op) ? VisitPassing(op, none) : none;
	}

	//! Aggregates of ours in op, whose columns then hold requests.
	static Deferred Gathering(LogicalOperator &op, idx_t table_index) {
		Deferred r;
		for (idx_t i = 0; i < op.expressions.size(); i++) {
			if (auto b = GatherOf(*op.expressions[i])) {
				r.push_back({ColumnBinding(table_index, i), GatherToRequest(*b)});
			}
		}
		return r;
	}

	//! Has op's constant texts embedded once, beside its rows.
	void Hoist(unique_ptr<LogicalOperator> &op) {
		vector<unique_ptr<Expression>> requests;
		vector<Called> calls;
		auto ti = optimizer.binder.GenerateTableIndex();
		for (auto &e : op->expressions) {
			if (!IsLiftable(*e)) { // a column of its own travels upward, and may be asked for fewer rows
				HoistFrom(e, ti, requests, calls);
			}
		}
		if (requests.empty()) {
			return;
		}
		auto shown = op->GetColumnBindings();
		unique_ptr<LogicalOperator> one = make_uniq<LogicalDummyScan>(optimizer.binder.GenerateTableIndex());
		one->SetEstimatedCardinality(1);
		InferBelow(one, ti, std::move(requests), std::move(calls));
		auto rows = op->children[0]->EstimateCardinality(optimizer.context);
		op->children[0] = LogicalCrossProduct::Create(std::move(op->children[0]), std::move(one));
		op->children[0]->SetEstimatedCardinality(rows);
		if (op->type == LogicalOperatorType::LOGICAL_FILTER) {
			op = Hide(std::move(op), shown);
		}
	}
	//! Has an index answer what is ordered by similarity, where one can.
	void SearchBelow(LogicalTopN &top) {
		idx_t column;
		if (auto p = SearchFinder::ProjectionOf(top, column)) {
			SearchFinder(optimizer).Rewrite(top, *p, column);
		}
	}
	//! Both, in all of the plan.
	void Prepare(unique_ptr<LogicalOperator> &op) {
		for (auto &c : op->children) {
			Prepare(c);
		}
		switch (op->type) {
		case LogicalOperatorType::LOGICAL_PROJECTION:
		case LogicalOperatorType::LOGICAL_FILTER:
		case LogicalOperatorType::LOGICAL_AGGREGATE_AND_GROUP_BY:
			Hoist(op);
			break;
		case LogicalOperatorType::LOGICAL_TOP_N:
			SearchBelow(op->Cast<LogicalTopN>());
			break;
		default:
			break;
		}
	}

	Deferred Visit(unique_ptr<LogicalOperator> &op) {
		if (op->type == LogicalOperatorType::LOGICAL_FILTER || op->type == LogicalOperatorType::LOGICAL_PROJECTION) {
			RewriteCrossProduct(optimizer.GetContext(), *op);
		}
		vector<Deferred> below;
		for (auto &c : op->children) {
			below.push_back(Visit(c));
		}
		switch (op->type) {
		case LogicalOperatorType::LOGICAL_TOP_N:
		case LogicalOperatorType::LOGICAL_LIMIT:
		case LogicalOperatorType::LOGICAL_ORDER_BY:
		case LogicalOperatorType::LOGICAL_SAMPLE:
		case LogicalOperatorType::LOGICAL_FILTER:
			return VisitPassing(op, below[0]);
		case LogicalOperatorType::LOGICAL_WINDOW: {
			auto own = Gathering(*op, op->Cast<LogicalWindow>().window_index);
			auto up = VisitPassing(op, below[0]);
			up.insert(up.end(), own.begin(), own.end());
			return up;
		}
		case LogicalOperatorType::LOGICAL_COMPARISON_JOIN:
			return VisitJoin(op, below);
		case LogicalOperatorType::LOGICAL_ANY_JOIN:
			return VisitAnyJoin(op, below);
		case LogicalOperatorType::LOGICAL_PROJECTION:
			return VisitProjection(op->Cast<LogicalProjection>(), below[0]);
		case LogicalOperatorType::LOGICAL_AGGREGATE_AND_GROUP_BY:
			Force(op->children[0], below[0]);
			LiftBelow(*op);
			return Gathering(*op, op->Cast<LogicalAggregate>().aggregate_index);
		default:
			for (idx_t i = 0; i < below.size(); i++) {
				Force(op->children[i], below[i]);
			}
			return Deferred();
		}
	}
};

void Rewrite(OptimizerExtensionInput &input, unique_ptr<LogicalOperator> &plan) {
	Rewriter r {input.optimizer};
	r.Prepare(plan);
	auto d = r.Visit(plan);
	r.Force(plan, d);
	Mark(*plan, 0);
	PackRows(input, plan);
}
} // namespace hyprstream
