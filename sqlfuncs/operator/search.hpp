// Finding the searches in a plan that an index can answer (vectors.hpp runs them), and
// embedding a query's text once, not for each row it is compared with.
#pragma once
#include "inference.hpp"
#include "vectors.hpp"
#include "duckdb/planner/expression/bound_reference_expression.hpp"

namespace hyprstream {

//! Moves calls of embed with nothing but constants out of similarity's arguments in e, which is evaluated
//! for each row; what stands under a condition stays.
static void HoistFrom(unique_ptr<Expression> &e, idx_t table_index, vector<unique_ptr<Expression>> &requests, vector<Called> &calls,
                      bool compared = false) {
	switch (e->GetExpressionClass()) {
	case ExpressionClass::BOUND_FUNCTION: {
		auto &f = e->Cast<BoundFunctionExpression>();
		if (IsLiftable(*e)) {
			bool constant = compared && IsCall(*e)->name == "__embed";
			for (auto &a : f.children) {
				constant = constant && a->GetExpressionClass() == ExpressionClass::BOUND_CONSTANT;
			}
			if (constant) {
				Take(e, table_index, requests, calls, nullptr);
			}
			return;
		}
		compared = f.function.name == SIMILARITY;
		break;
	}
	case ExpressionClass::BOUND_CAST:
	case ExpressionClass::BOUND_COMPARISON:
		break;
	case ExpressionClass::BOUND_AGGREGATE:
		if (e->Cast<BoundAggregateExpression>().filter) {
			return;
		}
		break;
	default:
		return;
	}
	ExpressionIterator::EnumerateChildren(*e, [&](unique_ptr<Expression> &c) { HoistFrom(c, table_index, requests, calls, compared); });
}

//! Finds what an index answers: ORDER BY similarity(column, query) DESC LIMIT over one table.
class SearchFinder {
public:
	explicit SearchFinder(Optimizer &optimizer) : optimizer(optimizer), context(optimizer.GetContext()) {
	}

	//! The projection below top that computes the similarity its rows are ordered by; null: it is not so.
	static optional_ptr<LogicalProjection> ProjectionOf(LogicalTopN &top, idx_t &column) {
		if (top.orders.size() != 1 || top.orders[0].type != OrderType::DESCENDING ||
		    top.orders[0].null_order != OrderByNullType::NULLS_LAST ||
		    top.orders[0].expression->GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF) {
			return nullptr;
		}
		auto binding = top.orders[0].expression->Cast<BoundColumnRefExpression>().binding;
		optional_ptr<LogicalOperator> op = top.children[0].get();
		while (op->type == LogicalOperatorType::LOGICAL_PROJECTION) {
			auto &p = op->Cast<LogicalProjection>();
			if (binding.table_index != p.table_index) {
				return nullptr;
			}
			auto &e = *p.expressions[binding.column_index];
			if (IsSimilarity(e)) {
				column = binding.column_index;
				return p;
			}
			if (e.GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF) {
				return nullptr;
			}
			binding = e.Cast<BoundColumnRefExpression>().binding;
			op = p.children[0].get();
		}
		return nullptr;
	}

	//! Puts a search below p, which computes the similarity in column, where an index fits.
	void Rewrite(LogicalTopN &top, LogicalProjection &p, idx_t column) {
		auto &below = p.children[0];
		bool crossed = below->type == LogicalOperatorType::LOGICAL_CROSS_PRODUCT;
		auto &input = crossed ? below->children[0] : below;
		auto get = Scanned(*input);
		if (!get) {
			return;
		}
		auto &args = p.expressions[column]->Cast<BoundFunctionExpression>().children;
		for (idx_t i = 0; i < 2; i++) {
			auto vectors = Column(*args[i], *get);
			if (!vectors.IsValid()) {
				continue;
			}
			auto search = Fitting(*input, *get, vectors.GetIndex(), top.limit + top.offset);
			if (!search) {
				return;
			}
			auto op = make_uniq<LogicalSearch>();
			auto query = crossed ? FromRight(*args[1 - i], *below->children[1]) : Alone(*args[1 - i]);
			if (!crossed && query.second) {
				op->children.push_back(std::move(below));
				op->children.push_back(std::move(query.second));
			} else if (crossed && query.first.IsValid()) {
				op->children = std::move(below->children);
			} else {
				return;
			}
			search->query = query.first.GetIndex();
			op->search = std::move(search);
			op->SetEstimatedCardinality(op->children[0]->EstimateCardinality(context));
			below = std::move(op);
			return;
		}
	}

private:
	Optimizer &optimizer;
	ClientContext &context;

	static bool IsSimilarity(const Expression &e) {
		return e.GetExpressionClass() == ExpressionClass::BOUND_FUNCTION && e.Cast<BoundFunctionExpression>().function.name == SIMILARITY;
	}
	//! The table's scan at op, below conditions that may be evaluated twice; null: it is another thing.
	static optional_ptr<LogicalGet> Scanned(LogicalOperator &op) {
		if (op.type == LogicalOperatorType::LOGICAL_FILTER) {
			for (auto &e : op.expressions) {
				if (e->IsVolatile() || e->HasSubquery() || HasLiftable(*e)) {
					return nullptr;
				}
			}
			return Scanned(*op.children[0]);
		}
		if (op.type != LogicalOperatorType::LOGICAL_GET) {
			return nullptr;
		}
		auto &get = op.Cast<LogicalGet>();
		auto table = get.GetTable();
		bool plain = table && table->IsDuckTable() && get.function.name == "seq_scan" && !get.extra_info.sample_options &&
		             !get.ordinality_idx.IsValid() && !(get.dynamic_filters && get.dynamic_filters->HasFilters());
		return plain ? &get : nullptr;
	}
	//! The position among get's columns where e is one of FLOAT[n].
	static optional_idx Column(const Expression &e, LogicalGet &get) {
		auto &t = e.return_type;
		if (e.GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF || t.id() != LogicalTypeId::ARRAY ||
		    ArrayType::GetChildType(t).id() != LogicalTypeId::FLOAT) {
			return optional_idx();
		}
		auto &b = e.Cast<BoundColumnRefExpression>().binding;
		return b.table_index == get.table_index ? optional_idx(b.column_index) : optional_idx();
	}
	static bool RefersToColumns(const Expression &e) {
		bool r = e.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF;
		ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { r = r || RefersToColumns(c); });
		return r;
	}
	typedef std::pair<optional_idx, unique_ptr<LogicalOperator>> Query;
	//! The position of e, but for casts, among the columns of right.
	static Query FromRight(const Expression &e, LogicalOperator &right) {
		if (e.GetExpressionClass() == ExpressionClass::BOUND_CAST) {
			return FromRight(*e.Cast<BoundCastExpression>().child, right);
		}
		auto all = right.GetColumnBindings();
		for (idx_t i = 0; i < all.size(); i++) {
			if (e.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF && e.Cast<BoundColumnRefExpression>().binding == all[i]) {
				return Query(optional_idx(i), nullptr);
			}
		}
		return Query();
	}
	//! A row of its own for e, a constant or a parameter.
	Query Alone(const Expression &e) {
		if (e.IsVolatile() || e.HasSubquery() || RefersToColumns(e)) {
			return Query();
		}
		vector<unique_ptr<Expression>> one;
		one.push_back(e.Copy());
		auto r = make_uniq<LogicalProjection>(optimizer.binder.GenerateTableIndex(), std::move(one));
		r->children.push_back(make_uniq<LogicalDummyScan>(optimizer.binder.GenerateTableIndex()));
		return Query(optional_idx(0), std::move(r));
	}
	//! The search of the rows of input, a scan and its conditions; null where no index fits.
	shared_ptr<Search> Fitting(LogicalOperator &input, LogicalGet &get, idx_t vectors, idx_t wanted) {
		auto r = make_shared_ptr<Search>();
		r->scan = make_shared_ptr<IndexedScan>(get, vectors);
		r->wanted = wanted;
		if (!r->Worth(r->scan->table.GetStorage().GetTotalRows(), r->First())) {
			return nullptr;
		}
		r->scan->BindDistance(context);
		auto index = r->scan->Plan(context, vector<float>(r->scan->Size(), 1), r->First());
		if (!index) {
			return nullptr;
		}
		TableFunctionToStringInput about(index->function, index->bind_data.get());
		for (auto &line : index->function.to_string(about)) {
			if (StringUtil::Contains(line.first, "Index")) {
				r->index = line.second;
			}
		}
		vector<unique_ptr<Expression>> conditions;
		Conditions(input, conditions);
		for (auto &c : conditions) {
			ToPositions(c);
			r->filter = r->filter ? make_uniq<BoundConjunctionExpression>(ExpressionType::CONJUNCTION_AND, std::move(r->filter), std::move(c))
			                      : std::move(c);
		}
		for (auto &b : input.GetColumnBindings()) {
			r->out.push_back(b.column_index);
		}
		return r;
	}
	//! Copies of the conditions in and below op.
	static void Conditions(LogicalOperator &op, vector<unique_ptr<Expression>> &r) {
		if (op.type == LogicalOperatorType::LOGICAL_FILTER) {
			for (auto &e : op.expressions) {
				r.push_back(e->Copy());
			}
			return Conditions(*op.children[0], r);
		}
		auto &get = op.Cast<LogicalGet>();
		auto &columns = get.GetColumnIds();
		for (auto &f : get.table_filters.filters) {
			for (idx_t i = 0; i < columns.size(); i++) {
				if (columns[i].GetPrimaryIndex() == f.first) {
					BoundColumnRefExpression column(get.GetColumnType(columns[i]), ColumnBinding(get.table_index, i));
					r.push_back(f.second->ToExpression(column));
					break;
				}
			}
		}
	}
	static void ToPositions(unique_ptr<Expression> &e) {
		if (e->GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF) {
			e = make_uniq<BoundReferenceExpression>(e->return_type, e->Cast<BoundColumnRefExpression>().binding.column_index);
			return;
		}
		ExpressionIterator::EnumerateChildren(*e, [](unique_ptr<Expression> &c) { ToPositions(c); });
	}
};
} // namespace hyprstream
